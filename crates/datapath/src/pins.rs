//! What outlives the process: the program's links and its tables, as files of the BPF file system. While they are there
//! packets are judged, whoever has ended; `takeover.rs` finds them again at the next start.
//!
//! A folder for a set of tables, in it a file for each table, and a folder for each program that judges by them, with a
//! file for each link:
//!
//! ```text
//! <root>/tables-<number>-<serial>/rules ...
//! <root>/tables-<number>-<serial>/program-<number>-<serial>/forward-ipv4 ...
//! ```
//!
//! The file system holds nothing else, so the names must tell what is there. The number of tables follows from what they
//! mean (`bpf/abi.h`, `bpf/tables.h`) and how large they are, that of a program from its object and its settings; the
//! serial number keeps folders apart that an earlier start has left. Nothing is ever written into a folder that was there
//! before, so whatever a start that was cut short has left does no harm until it is removed.

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::hash::Hasher;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use siphasher::sip::SipHasher24;

use crate::attach::places;
use crate::event::{Family, Hook};
use crate::object;
use crate::options::{Options, Table};
use crate::sys::{self, ObjectKind};

/// Whoever has just ended can still hold the folder for a moment: by a child that was about to run another program.
const RELEASE: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_millis(10);

/// What can go wrong with pins.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PinError {
    #[error(
        "{} is not on a BPF file system: `mount -t bpf bpf /sys/fs/bpf` (for a pod: on the node, and the folder as a \
         hostPath volume)",
        path.display()
    )]
    NoFileSystem { path: PathBuf },
    #[error("another process holds {}: is another agent running on this node?", path.display())]
    Busy { path: PathBuf },
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} cannot be made", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error("{} cannot be removed", path.display())]
    Remove { path: PathBuf, source: io::Error },
    #[error("the program was loaded to go with this process, not to be pinned")]
    Unpinnable,
}

/// What was pinned when a program started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing that judges packets: the tables are new and empty.
    Nothing,
    /// The same program with the same tables, which are in force and go on as they are.
    Same,
    /// The same tables under another program, which stays in force until this one is attached.
    OtherProgram,
    /// Other tables, which stay in force until this program is attached. Its own are new and empty.
    OtherTables,
    /// Something that is not whole. What of it is in force stays so until this program is attached.
    Damaged {
        /// What is wrong.
        what: String,
        /// Whether its tables are whole and were taken over; else they are new and empty.
        tables_kept: bool,
    },
}

/// A step of a takeover. At each the policies of before or those of now are in force, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Attaches the program, beside whatever is attached.
    Attach,
    /// Makes a folder.
    MakeFolder(PathBuf),
    /// Pins a table.
    PinTable {
        /// Its name.
        name: String,
        /// Where.
        path: PathBuf,
    },
    /// Pins a link.
    PinLink {
        /// The hook.
        hook: Hook,
        /// The family.
        family: Family,
        /// Where.
        path: PathBuf,
    },
    /// From here on the pins alone hold the program at its hooks.
    Pinned {
        /// The folder of its tables.
        tables: PathBuf,
        /// The folder of its links.
        program: PathBuf,
    },
    /// Removes a pin.
    Unpin(Pin),
    /// Removes a folder.
    RemoveFolder(PathBuf),
}

/// A file of the BPF file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Where.
    pub path: PathBuf,
    /// Whether packets pass a program as long as it is there.
    pub is_link: bool,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Links: places where packets were judged.
    pub links: usize,
    /// Tables, and whatever else was pinned.
    pub tables: usize,
    /// Folders.
    pub folders: usize,
}

impl Removed {
    pub(crate) fn count(&mut self, step: &Step) {
        match step {
            Step::Unpin(Pin { is_link: true, .. }) => self.links += 1,
            Step::Unpin(Pin { is_link: false, .. }) => self.tables += 1,
            Step::RemoveFolder(_) => self.folders += 1,
            _ => {}
        }
    }
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} links, {} tables, {} folders", self.links, self.tables, self.folders)
    }
}

/// Removes all that is pinned under a folder, links first, and the folder. After that nothing is judged any more. No
/// folder is no error.
///
/// # Errors
/// Where an agent is running; and what could not be removed.
pub fn remove(root: &Path) -> Result<Removed, PinError> {
    let mut removed = Removed::default();
    if !root.try_exists().map_err(|source| PinError::Read { path: root.into(), source })? {
        return Ok(removed);
    }
    let lock = lock(root)?;
    for step in remove_all_but(root, |_| false)? {
        step.remove()?;
        removed.count(&step);
    }
    drop(lock);
    match fs::remove_dir(root) {
        Ok(()) => removed.folders += 1,
        // The file system may be mounted right here.
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
        Err(source) => return Err(PinError::Remove { path: root.into(), source }),
    }
    Ok(removed)
}

impl Step {
    /// Carries out what takes no program.
    pub(crate) fn remove(&self) -> Result<(), PinError> {
        let (path, removed) = match self {
            Self::Unpin(pin) => (&pin.path, pin.remove()),
            Self::RemoveFolder(path) => (path, fs::remove_dir(path)),
            _ => return Ok(()),
        };
        match removed {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(PinError::Remove { path: path.clone(), source })
            }
            _ => Ok(()),
        }
    }
}

impl Pin {
    /// A link is detached at once, but only when its file is gone: a file whose link holds nothing would be taken for a
    /// program in force.
    fn remove(&self) -> io::Result<()> {
        let object = if self.is_link { sys::open_pinned(&self.path).ok() } else { None };
        fs::remove_file(&self.path)?;
        match object {
            Some((link, ObjectKind::Link)) => sys::detach(link.as_fd()),
            _ => Ok(()),
        }
    }
}

/// Whether what is made at a path will be on a BPF file system.
pub(crate) fn is_on_bpffs(path: &Path) -> bool {
    let there = path.ancestors().find(|ancestor| ancestor.exists());
    there.and_then(|folder| statfs(folder).ok()).is_some_and(|fs| fs.filesystem_type() == BPF_FS_MAGIC)
}

/// Makes the folder where it is not there, and holds it: two agents would remove each other's pins.
pub(crate) fn open(root: &Path) -> Result<File, PinError> {
    if !is_on_bpffs(root) {
        return Err(PinError::NoFileSystem { path: root.into() });
    }
    make_folder(root)?;
    lock(root)
}

pub(crate) fn make_folder(path: &Path) -> Result<(), PinError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| PinError::Make { path: path.into(), source })
}

fn lock(root: &Path) -> Result<File, PinError> {
    let read = |source| PinError::Read { path: root.into(), source };
    let folder = File::open(root).map_err(read)?;
    let began = Instant::now();
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(folder),
            Err(fs::TryLockError::WouldBlock) if began.elapsed() < RELEASE => std::thread::sleep(AGAIN),
            Err(fs::TryLockError::WouldBlock) => return Err(PinError::Busy { path: root.into() }),
            Err(fs::TryLockError::Error(source)) => return Err(read(source)),
        }
    }
}

/// By what tables and a program are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) tables: u64,
    pub(crate) program: u64,
}

impl Numbers {
    pub(crate) fn of(options: &Options) -> Self {
        let mut tables = SipHasher24::new();
        tables.write(include_bytes!("bpf/abi.h"));
        tables.write(include_bytes!("bpf/tables.h"));
        for table in Table::ALL {
            tables.write(&options.entries(table).to_le_bytes());
        }
        tables.write(&options.event_bytes.to_le_bytes());
        let mut program = SipHasher24::new();
        program.write(object::OBJECT);
        program.write(&object::event_interval(options).to_le_bytes());
        Self { tables: tables.finish(), program: program.finish() }
    }
}

/// A folder and what its name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) path: PathBuf,
    pub(crate) number: u64,
    pub(crate) serial: u64,
}

/// What a folder's name begins with.
pub(crate) const TABLES: &str = "tables";
/// As above.
pub(crate) const PROGRAM: &str = "program";

/// The folders of a kind in a folder, those made last first.
pub(crate) fn named(folder: &Path, kind: &str) -> Result<Vec<Named>, PinError> {
    let mut found: Vec<Named> =
        entries(folder)?.into_iter().filter_map(|(path, _)| parse(path, kind)).collect();
    found.sort_by_key(|named| std::cmp::Reverse(named.serial));
    Ok(found)
}

/// A folder of a kind that is not there yet.
pub(crate) fn fresh(folder: &Path, kind: &str, number: u64) -> Result<PathBuf, PinError> {
    let serial = named(folder, kind)?.first().map_or(1, |last| last.serial.saturating_add(1));
    Ok(folder.join(format!("{kind}-{number:016x}-{serial}")))
}

fn parse(path: PathBuf, kind: &str) -> Option<Named> {
    let name = path.file_name()?.to_str()?;
    let (number, serial) = name.strip_prefix(kind)?.strip_prefix('-')?.split_once('-')?;
    let (number, serial) = (u64::from_str_radix(number, 16).ok()?, serial.parse().ok()?);
    Some(Named { path, number, serial })
}

/// Every link that a program must have, and where it is in the program's folder.
pub(crate) fn link_paths(program: &Path) -> impl Iterator<Item = (Hook, Family, PathBuf)> {
    places().map(|(hook, family)| {
        let name = match hook {
            Hook::LocalIn => "local-in",
            Hook::Forward => "forward",
            Hook::LocalOut => "local-out",
        };
        let version = match family {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        };
        (hook, family, program.join(format!("{name}-{version}")))
    })
}

/// The steps that remove all pins but those to keep, and then the empty folders. Links go first.
pub(crate) fn remove_all_but(root: &Path, keep: impl Fn(&Path) -> bool) -> Result<Vec<Step>, PinError> {
    let (mut pins, mut folders) = (Vec::new(), Vec::new());
    let mut pending = vec![root.to_owned()];
    while let Some(folder) = pending.pop() {
        for (path, kind) in entries(&folder)? {
            if kind.is_dir() {
                if !keep(&path) {
                    folders.push(path.clone());
                }
                pending.push(path);
            } else if !keep(&path) {
                let is_link = kind.is_file()
                    && sys::open_pinned(&path).is_ok_and(|(_, object)| object == ObjectKind::Link);
                pins.push(Pin { path, is_link });
            }
        }
    }
    pins.sort_by_key(|pin| !pin.is_link);
    // Each was found after the one that it lies in.
    let folders = folders.into_iter().rev().map(Step::RemoveFolder);
    Ok(pins.into_iter().map(Step::Unpin).chain(folders).collect())
}

/// In the order of their names.
fn entries(folder: &Path) -> Result<Vec<(PathBuf, fs::FileType)>, PinError> {
    let read = |source| PinError::Read { path: folder.into(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        found.push((entry.path(), entry.file_type().map_err(read)?));
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found)
}
