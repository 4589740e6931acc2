//! What stands between the lab and a user's command: [`main`] of a hidden subcommand of the program that uses the
//! lab.
//!
//! Two processes. The outer one makes a mount namespace in which the lab's names and network namespaces are found,
//! and a namespace of process numbers; the inner one is number 1 in that, starts the command and waits for it. Each is
//! killed with its parent, and the kernel ends everything in the namespace with its number 1. So nothing of a command
//! outlives it or the lab.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::getppid;

pub(crate) const OUTER: &str = "outer";
const INNER: &str = "inner";

const NETNS: &str = "/run/netns";

/// Why a command could not be started.
#[derive(Debug, thiserror::Error)]
enum ChildError {
    #[error("this is a part of the lab that is not run by hand")]
    ByHand,
    #[error("the lab has ended")]
    Orphaned,
    #[error("cannot {0}: {1}")]
    Failed(String, io::Error),
}

/// Becomes the child that the arguments, those after the hidden subcommand's name, ask for.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let result = match arguments {
        [stage, parent, specification, command @ ..] if stage == OUTER => {
            outer(arguments.len(), parent, Path::new(specification), command)
        }
        [stage, parent, command @ ..] if stage == INNER => inner(parent, command),
        _ => Err(ChildError::ByHand),
    };
    match result {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("ringfence lab: {error}");
            // As shells say it: the command was not started.
            ExitCode::from(125)
        }
    }
}

fn outer(
    own: usize,
    parent: &OsString,
    specification: &Path,
    command: &[OsString],
) -> Result<u8, ChildError> {
    die_with_parent()?;
    if parent.to_str() != Some(getppid().to_string().as_str()) {
        return Err(ChildError::Orphaned);
    }
    // The keyboard's signals are for the command. Blocked, not ignored: the inner process takes that back.
    let keyboard: SigSet = [Signal::SIGINT, Signal::SIGQUIT].into_iter().collect();
    keyboard.thread_block().map_err(failed("block signals"))?;
    let text =
        fs::read_to_string(specification).map_err(|e| ChildError::Failed("read from the lab".into(), e))?;
    let (namespaces, hosts) = text.split_once("\n\n").ok_or(ChildError::ByHand)?;
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID).map_err(failed("make namespaces"))?;
    // Nothing mounted here must show elsewhere.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .map_err(failed("make the mounts private"))?;
    mount_names(namespaces, hosts)?;

    let all: Vec<OsString> = std::env::args_os().collect();
    let before = all.get(1..all.len().saturating_sub(own)).unwrap_or_default();
    let me = std::process::id().to_string();
    let inner = Command::new("/proc/self/exe").args(before).arg(INNER).arg(me).args(command).status();
    let status = inner.map_err(|e| ChildError::Failed("start the inner process".into(), e))?;
    Ok(exit_code(status.code().or(status.signal().map(|s| 128 + s))))
}

fn inner(parent: &OsString, command: &[OsString]) -> Result<u8, ChildError> {
    die_with_parent()?;
    // The parent has no number in here, but /proc is still that of the parent.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let actual = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    if actual.map(str::trim) != parent.to_str() {
        return Err(ChildError::Orphaned);
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>).map_err(failed("mount /proc"))?;
    SigSet::empty().thread_set_mask().map_err(failed("unblock signals"))?;
    let Some((program, arguments)) = command.split_first() else { return Err(ChildError::ByHand) };
    let child = match Command::new(program).args(arguments).spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("ringfence lab: cannot run {}: {error}", program.display());
            return Ok(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 });
        }
    };
    // Number 1 inherits all orphans, and buries them.
    loop {
        match wait() {
            Ok(WaitStatus::Exited(pid, code)) if pid.as_raw().unsigned_abs() == child.id() => {
                return Ok(exit_code(Some(code)));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid.as_raw().unsigned_abs() == child.id() => {
                return Ok(exit_code(Some(128 + signal as i32)));
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(failed("wait for the command")(error)),
        }
    }
}

fn die_with_parent() -> Result<(), ChildError> {
    set_pdeathsig(Signal::SIGKILL).map_err(failed("be killed with the lab"))
}

/// Puts the network namespaces where `ip netns` looks, and the names into `/etc/hosts`.
fn mount_names(namespaces: &str, hosts: &str) -> Result<(), ChildError> {
    if !Path::new(NETNS).exists() {
        cover_run().map_err(|e| ChildError::Failed("make a /run for the command".into(), e))?;
    }
    mount_tmpfs(NETNS).map_err(failed("mount /run/netns"))?;
    // The file lives on in its mount when its name is gone.
    let file = format!("{NETNS}/.hosts");
    let bound = fs::write(&file, hosts)
        .and_then(|()| bind(&file, "/etc/hosts"))
        .and_then(|()| fs::remove_file(&file));
    bound.map_err(|e| ChildError::Failed("put the lab's names into /etc/hosts".into(), e))?;
    for (name, path) in namespaces.lines().filter_map(|line| line.split_once(' ')) {
        let at = format!("{NETNS}/{name}");
        let bound = File::create(&at).and_then(|_| bind(path, &at));
        bound.map_err(|e| ChildError::Failed(format!("show network namespace {name}"), e))?;
    }
    Ok(())
}

/// A `/run` of the command's own with everything that is in the machine's: where nobody has used `ip netns` yet, there
/// is no `/run/netns` to mount on, and making one would leave a trace on the machine.
fn cover_run() -> io::Result<()> {
    // By this handle, the covered folder can still be reached.
    let machine = File::open("/run")?;
    let entries = fs::read_dir(format!("/proc/self/fd/{}", machine.as_raw_fd()))?;
    let entries = entries.collect::<io::Result<Vec<_>>>()?;
    mount_tmpfs("/run")?;
    for entry in entries {
        let (from, to) = (entry.path(), Path::new("/run").join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            symlink(fs::read_link(&from)?, &to)?;
            continue;
        }
        if kind.is_dir() {
            fs::create_dir(&to)?
        } else {
            drop(File::create(&to)?)
        }
        bind(&from, &to)?;
    }
    fs::create_dir(NETNS)
}

fn mount_tmpfs(at: &str) -> nix::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("ringfence-lab"), at, Some("tmpfs"), flags, Some("mode=755"))
}

fn bind(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    Ok(mount(Some(from.as_ref()), to.as_ref(), None::<&str>, flags, None::<&str>)?)
}

fn exit_code(code: Option<i32>) -> u8 {
    code.and_then(|c| u8::try_from(c).ok()).unwrap_or(1)
}

fn failed(what: &'static str) -> impl Fn(Errno) -> ChildError {
    move |error| ChildError::Failed(what.into(), error.into())
}
