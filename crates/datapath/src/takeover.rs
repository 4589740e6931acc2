//! A start beside what an earlier one has pinned: which tables go on, and the steps from the old program to the new.
//!
//! What judges packets goes on doing so until the new program is attached at every hook and pinned; only then is removed
//! what else is pinned. Whoever is cut short at any step leaves one whole program in force, and the next start ends the
//! work: it takes what is whole, and what is not goes when its own is.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use libbpf_rs::query::{LinkInfo, LinkTypeInfo, ProgInfoIter, ProgInfoQueryOptions};
use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType, OpenObject};
use zerocopy::FromBytes;

use crate::abi::CutKey;
use crate::attach;
use crate::kernel::{Error, Kernel};
use crate::object;
use crate::options::{Options, Table};
use crate::pins::{self, Found, Named, Numbers, PROGRAM, PinError, Removed, Step, TABLES};
use crate::sys::{self, ObjectKind};

/// Where a program and its tables are pinned, or shall be.
#[derive(Debug)]
pub(crate) struct Pinning {
    root: PathBuf,
    numbers: Numbers,
    home: Home,
    /// Held as long as this process has a say.
    _lock: File,
}

/// What of it is pinned already.
#[derive(Debug)]
enum Home {
    Nothing,
    /// The tables.
    Tables(PathBuf),
    /// Tables and program.
    Whole {
        tables: PathBuf,
        program: PathBuf,
    },
}

/// A program in force whose tables can go on.
struct Base {
    tables: Named,
    program: Named,
    priority: i32,
    maps: Vec<(String, MapHandle)>,
}

/// What is in force by a program's pins.
struct Running {
    program: u32,
    priority: i32,
}

impl Kernel {
    /// Loads the program with the tables that are pinned under a folder of the BPF file system, if they are such as it
    /// needs and in force, and else with empty ones. What is pinned stays in force until [`Kernel::attach_pinned`]; by
    /// then the tables must say what is to hold.
    ///
    /// # Errors
    /// Where no BPF file system is mounted, another process holds the folder, or the program cannot be loaded.
    pub fn adopt_or_load(options: &Options, root: &Path) -> Result<(Self, Found), Error> {
        let lock = pins::open(root)?;
        let numbers = Numbers::of(options);
        let mut open = object::open(options)?;
        let (base, mut found) = survey(root, numbers, &open)?;
        let maps = base.iter().flat_map(|base| &base.maps);
        for (name, handle) in maps {
            let map = open.maps_mut().find(|map| map.name() == name.as_str());
            if let Some(mut map) = map {
                map.reuse_fd(handle.as_fd()).map_err(|source| Error::Load { source })?;
            }
        }
        let mut kernel = Self::load_object(open, options)?;
        let mut home = Home::Nothing;
        match base {
            Some(Base { tables, program, priority, .. }) => {
                home = Home::Tables(tables.path.clone());
                if found == Found::Same {
                    match kernel.detached(priority)? {
                        None => home = Home::Whole { tables: tables.path, program: program.path },
                        Some(what) => found = Found::Damaged { what, tables_kept: true },
                    }
                }
            }
            None => kernel.inherit_cuts(root)?,
        }
        kernel.pinning = Some(Pinning { root: root.into(), numbers, home, _lock: lock });
        Ok((kernel, found))
    }

    /// Attaches the program in the network namespace of the calling thread, pins its links and tables, and then removes
    /// whatever else is pinned. Where all that is so already it does nothing. Only for what
    /// [`Kernel::adopt_or_load`] has loaded.
    ///
    /// # Errors
    /// What was in force stays in force. It may be called again.
    pub fn attach_pinned(&mut self) -> Result<Removed, Error> {
        let mut removed = Removed::default();
        for step in self.pin_steps()? {
            self.carry_out(&step)?;
            removed.count(&step);
        }
        Ok(removed)
    }

    /// The steps of [`Kernel::attach_pinned`] that are left to do.
    pub fn pin_steps(&self) -> Result<Vec<Step>, Error> {
        let pinning = self.pinning.as_ref().ok_or(PinError::Unpinnable)?;
        let mut steps = Vec::new();
        let (tables, program) = match &pinning.home {
            Home::Whole { tables, program } => (tables.clone(), program.clone()),
            Home::Tables(tables) => {
                steps.push(Step::Attach);
                (tables.clone(), pins::fresh(tables, PROGRAM, pinning.numbers.program)?)
            }
            Home::Nothing => {
                let tables = pins::fresh(&pinning.root, TABLES, pinning.numbers.tables)?;
                steps.extend([Step::Attach, Step::MakeFolder(tables.clone())]);
                for map in self.object.maps() {
                    let name = map.name().to_string_lossy().into_owned();
                    if object::is_table(&name) {
                        steps.push(Step::PinTable { path: tables.join(&name), name });
                    }
                }
                let program = tables.join(format!("{PROGRAM}-{:016x}-1", pinning.numbers.program));
                (tables, program)
            }
        };
        if !self.is_pinned() {
            steps.push(Step::MakeFolder(program.clone()));
            let links = pins::link_paths(&program);
            steps.extend(links.map(|(hook, family, path)| Step::PinLink { hook, family, path }));
            steps.push(Step::Pinned { tables: tables.clone(), program: program.clone() });
        }
        // Tables lie in their folder, links in the program's. What else is there is somebody else's, or a rest.
        let keep = |path: &Path| {
            let is_table = path.parent() == Some(&tables) && !path.is_dir();
            path == tables || is_table || path.starts_with(&program)
        };
        steps.extend(pins::remove_all_but(&pinning.root, keep)?);
        Ok(steps)
    }

    /// One step of [`Kernel::pin_steps`], which must be done in order.
    pub fn carry_out(&mut self, step: &Step) -> Result<(), Error> {
        let make = |path: &Path| {
            let path = path.to_owned();
            |source| PinError::Make { path, source }
        };
        match step {
            Step::Attach => {
                self.links.clear();
                self.links = attach::attach(self.program()?.as_fd())?;
            }
            Step::MakeFolder(path) => pins::make_folder(path)?,
            Step::PinTable { name, path } => {
                let map = self.object.maps().find(|map| map.name() == name.as_str());
                let map = map.ok_or(Error::NotInObject { name: "table of this name" })?;
                sys::pin(map.as_fd(), path).map_err(make(path))?;
            }
            Step::PinLink { hook, family, path } => {
                let link = self.links.iter().find(|one| (one.hook, one.family) == (*hook, *family));
                let link = link.ok_or(PinError::Unpinnable)?;
                sys::pin(link.link.as_fd(), path).map_err(make(path))?;
            }
            Step::Pinned { tables, program } => {
                if let Some(pinning) = &mut self.pinning {
                    pinning.home = Home::Whole { tables: tables.clone(), program: program.clone() };
                }
                // Whoever removes a pin shall not have to wait for this process to end.
                self.links.clear();
            }
            Step::Unpin(_) | Step::RemoveFolder(_) => step.remove()?,
        }
        Ok(())
    }

    /// Whether pins hold the program at its hooks.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.pinning.as_ref().is_some_and(|pinning| matches!(pinning.home, Home::Whole { .. }))
    }

    /// What was cut must stay so under other tables too, and unlike the rest nobody can tell it again: conntrack has
    /// forgotten those connections.
    fn inherit_cuts(&self, root: &Path) -> Result<(), Error> {
        let table = Table::Cut;
        for tables in pins::named(root, TABLES)? {
            let path = tables.path.join(table.name());
            let Ok((_, ObjectKind::Map)) = sys::open_pinned(&path) else { continue };
            let Ok(map) = MapHandle::from_pinned_path(&path) else { continue };
            let shape = [size_of::<CutKey>(), size_of::<u64>()].map(u32::try_from);
            if map.map_type() != MapType::LruHash || shape != [Ok(map.key_size()), Ok(map.value_size())] {
                continue;
            }
            for key in map.keys() {
                let value = map.lookup(&key, MapFlags::empty());
                let value =
                    value.map_err(|source| Error::Read { table, source: io::Error::other(source) })?;
                let until = value.map(|value| u64::read_from_bytes(value.as_slice()).ok());
                if let (Ok(key), Some(Some(until))) = (CutKey::read_from_bytes(&key), until) {
                    self.cut(&key, Duration::from_nanos(until))?;
                }
            }
        }
        Ok(())
    }

    /// Where nothing hangs at a hook, although there is a link.
    fn detached(&self, priority: i32) -> Result<Option<String>, Error> {
        let program = self.program()?;
        for place in attach::places() {
            if !attach::is_attached(program.as_fd(), place, priority)? {
                let (hook, family) = place;
                return Ok(Some(format!("the link at {hook:?} for {family:?} is not attached here")));
            }
        }
        Ok(None)
    }
}

/// What is pinned: the base to go on from, and what to call it.
fn survey(root: &Path, numbers: Numbers, open: &OpenObject) -> Result<(Option<Base>, Found), Error> {
    let mut found = Found::Nothing;
    let mut best: Option<Base> = None;
    for tables in pins::named(root, TABLES)? {
        for program in pins::named(&tables.path, PROGRAM)? {
            let damaged = |what| Found::Damaged { what, tables_kept: false };
            let running = match running(&program.path) {
                Ok(running) => running,
                Err(what) if found == Found::Nothing => {
                    found = damaged(what);
                    continue;
                }
                Err(_) => continue,
            };
            if tables.number != numbers.tables {
                found = Found::OtherTables;
                continue;
            }
            let maps = match maps(&tables.path, open, running.program) {
                Ok(maps) => maps,
                Err(what) => {
                    found = damaged(what);
                    continue;
                }
            };
            // The first is the newest.
            let is_same = program.number == numbers.program;
            if best.as_ref().is_none_or(|best| is_same && best.program.number != numbers.program) {
                best = Some(Base { tables: tables.clone(), program, priority: running.priority, maps });
            }
        }
    }
    let found = match &best {
        Some(base) if base.program.number == numbers.program => Found::Same,
        Some(_) => Found::OtherProgram,
        None => found,
    };
    Ok((best, found))
}

/// The program that the links in a folder hold, if all are there and hold one.
fn running(folder: &Path) -> Result<Running, String> {
    let mut running: Option<Running> = None;
    for (hook, family, path) in pins::link_paths(folder) {
        let wrong = |why: String| format!("{}: {why}", path.display());
        let (link, kind) = sys::open_pinned(&path).map_err(|error| wrong(error.to_string()))?;
        if kind != ObjectKind::Link {
            return Err(wrong("is no link".into()));
        }
        let info = LinkInfo::from_fd(link.as_fd()).map_err(|error| wrong(error.to_string()))?;
        let LinkTypeInfo::Netfilter(at) = info.info else {
            return Err(wrong("is no link to netfilter".into()));
        };
        if (at.hooknum, at.protocol_family) != (hook as u32, family as u32) {
            return Err(wrong("is a link to another hook".into()));
        }
        let found = (info.prog_id, at.priority);
        let running = running.get_or_insert(Running { program: found.0, priority: found.1 });
        if (running.program, running.priority) != found {
            return Err(wrong("is a link of another program than those beside it".into()));
        }
    }
    running.ok_or_else(|| format!("{}: no links", folder.display()))
}

/// The tables of a folder, if they are what this program needs and what the program in force reads.
fn maps(folder: &Path, open: &OpenObject, program: u32) -> Result<Vec<(String, MapHandle)>, String> {
    let options = ProgInfoQueryOptions::default().include_map_ids(true);
    let info = ProgInfoIter::with_query_opts(options).find(|info| info.id == program);
    let read = info.map(|info| info.map_ids).unwrap_or_default();
    let mut maps = Vec::new();
    for wanted in open.maps() {
        let name = wanted.name().to_string_lossy().into_owned();
        if !object::is_table(&name) {
            continue;
        }
        let path = folder.join(&name);
        let wrong = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let (_, kind) = sys::open_pinned(&path).map_err(|error| wrong(&error))?;
        if kind != ObjectKind::Map {
            return Err(wrong(&"is no table"));
        }
        let map = MapHandle::from_pinned_path(&path).map_err(|error| wrong(&error))?;
        let info = map.info().map_err(|error| wrong(&error))?.info;
        let shape = (map.map_type(), map.key_size(), map.value_size(), map.max_entries(), info.map_flags);
        let [key_size, value_size] = [wanted.key_size(), wanted.value_size()];
        if shape != (wanted.map_type(), key_size, value_size, wanted.max_entries(), wanted.map_flags()) {
            return Err(wrong(&"is another table"));
        }
        if !read.contains(&info.id) {
            return Err(wrong(&"is not the table that packets are judged by"));
        }
        maps.push((name, map));
    }
    Ok(maps)
}
