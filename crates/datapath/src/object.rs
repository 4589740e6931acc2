//! The compiled BPF program: opened, and its tables given their sizes. It loads nothing.

use libbpf_rs::{ObjectBuilder, OpenMapMut, OpenObject};

use crate::kernel::Error;
use crate::options::{Options, Table};

/// What clang has made of `bpf/datapath.bpf.c`.
pub(crate) const OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/datapath.bpf.o"));

/// The program's name in it.
pub(crate) const PROGRAM: &str = "ringfence";

/// The section with the program's settings. It is the program's own, no table.
const CONFIG: &str = ".rodata.config";

/// How often a flow makes an event, in nanoseconds: what is written into the program.
pub(crate) fn event_interval(options: &Options) -> u64 {
    let interval = u64::try_from(options.event_interval.as_nanos()).unwrap_or(u64::MAX >> 1);
    interval.min(u64::MAX >> 1)
}

/// Whether this is a table, and not a section of the program.
pub(crate) fn is_table(map: &str) -> bool {
    !map.starts_with('.')
}

/// The object, ready to be loaded.
pub(crate) fn open(options: &Options) -> Result<OpenObject, Error> {
    let mut open = ObjectBuilder::default()
        .name("ringfence")
        .and_then(|builder| builder.open_memory(OBJECT))
        .map_err(|source| Error::Open { source })?;
    configure(&mut open, options)?;
    Ok(open)
}

fn configure(open: &mut OpenObject, options: &Options) -> Result<(), Error> {
    let mut seen = Vec::new();
    for mut map in open.maps_mut() {
        let name = map.name().to_owned();
        let sized = Table::ALL.into_iter().find(|table| name == table.name());
        if let Some(table) = sized {
            resize(&mut map, table.name(), options.entries(table))?;
        } else if name == "events" {
            resize(&mut map, "events", options.event_bytes)?;
        } else if name == CONFIG {
            let value = event_interval(options);
            map.set_initial_value(&value.to_ne_bytes()).map_err(|source| Error::Option {
                what: "the interval between events",
                value: format!("{:?}", options.event_interval),
                source,
            })?;
        }
        seen.push(name);
    }
    if seen.iter().any(|name| name == CONFIG) { Ok(()) } else { Err(Error::NotInObject { name: CONFIG }) }
}

fn resize(map: &mut OpenMapMut<'_>, what: &'static str, entries: u32) -> Result<(), Error> {
    map.set_max_entries(entries).map_err(|source| Error::Option { what, value: entries.to_string(), source })
}
