//! A user's command inside the lab.
//!
//! It runs in the network of a place, sees the lab's names in `/etc/hosts` and the lab's namespaces in `/run/netns`,
//! and has its own process numbers: when it ends, everything that it started ends too, and when the lab ends, so does
//! the command. The mounts are made by [`child`](crate::child), in a program of its own between the lab and the
//! command, because what it undoes by ending nobody needs to clean up.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::marker::PhantomData;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::hosts;
use crate::lab::{Lab, LabError, Place};
use crate::netns::NetnsError;

/// Set in the environment of a command in a lab.
pub const ENVIRONMENT: &str = "RINGFENCE_LAB";

/// How this program is run again to become [`child::main`](crate::child::main): its path and the arguments before
/// those that are for the child.
#[derive(Debug, Clone)]
pub struct Helper {
    /// The program.
    pub program: PathBuf,
    /// Its first arguments, such as the name of a hidden subcommand.
    pub arguments: Vec<OsString>,
}

impl Helper {
    /// The running program itself, with these first arguments.
    pub fn this_program<A: Into<OsString>>(arguments: impl IntoIterator<Item = A>) -> Helper {
        Helper {
            program: "/proc/self/exe".into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
        }
    }
}

/// What is to be run, and with which input and output.
#[derive(Debug)]
pub struct Launch {
    /// The program and its arguments.
    pub argv: Vec<OsString>,
    /// Variables beside those of this process.
    pub environment: Vec<(OsString, OsString)>,
    /// Its standard input.
    pub stdin: Stdio,
    /// Its standard output.
    pub stdout: Stdio,
    /// Its standard error.
    pub stderr: Stdio,
}

impl Launch {
    /// A command on this process's own terminal.
    pub fn new<A: Into<OsString>>(argv: impl IntoIterator<Item = A>) -> Launch {
        Launch {
            argv: argv.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
            stdin: Stdio::inherit(),
            stdout: Stdio::inherit(),
            stderr: Stdio::inherit(),
        }
    }
}

/// A command that runs in a lab. Dropping it kills the command and all that it started.
///
/// Ctrl-C at the terminal goes to the command; a program that waits for one must ignore it meanwhile.
#[derive(Debug)]
pub struct Running<'lab> {
    /// Its input, if that is a pipe.
    pub stdin: Option<ChildStdin>,
    /// Its output, if that is a pipe.
    pub stdout: Option<ChildStdout>,
    /// Its error output, if that is a pipe.
    pub stderr: Option<ChildStderr>,
    alive: Arc<Mutex<Option<Pid>>>,
    thread: Option<JoinHandle<io::Result<ExitStatus>>>,
    lab: PhantomData<&'lab Lab>,
}

impl Running<'_> {
    /// Waits for the end, and says with which exit status: the command's, or 128 and the number of the signal that
    /// ended it; 127 if there is no such command, 126 if it cannot be run.
    pub fn wait(mut self) -> io::Result<u8> {
        // Who waits writes no more; a command that reads to the end would never end.
        drop(self.stdin.take());
        let Some(thread) = self.thread.take() else { return Err(io::ErrorKind::NotFound.into()) };
        let status = thread.join().map_err(|_| io::Error::other("the thread of a command panicked"))??;
        let code = status.code().or(status.signal().map(|s| 128 + s)).unwrap_or(1);
        Ok(u8::try_from(code).unwrap_or(1))
    }

    /// Kills the command and all that it started.
    pub fn kill(&self) {
        let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = *alive {
            // While it is not waited for, the number cannot be another's.
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.kill();
        if let Some(thread) = self.thread.take() {
            // How it ended is of no interest any more.
            let _ = thread.join();
        }
    }
}

impl Lab {
    /// Starts a command in the network of a place. Where it does not name itself otherwise, a pod's short names are
    /// those of its namespace.
    pub fn spawn(&self, place: Place, launch: Launch, helper: &Helper) -> Result<Running<'_>, LabError> {
        let netns = self.netns(place)?.try_clone()?;
        let specification = self.specification(place).map_err(LabError::Command)?;
        let mut command = Command::new(&helper.program);
        command
            .args(&helper.arguments)
            .arg(crate::child::OUTER)
            .arg(std::process::id().to_string())
            .arg(format!("/proc/{}/fd/{}", std::process::id(), specification.as_raw_fd()))
            .args(launch.argv)
            .env(ENVIRONMENT, "1")
            .envs(launch.environment)
            .stdin(launch.stdin)
            .stdout(launch.stdout)
            .stderr(launch.stderr);
        let alive = Arc::new(Mutex::new(None));
        let (send, started) = mpsc::sync_channel(1);
        let for_thread = alive.clone();
        // The thread stays as long as the command: the kernel kills the command when the thread that started it ends.
        let run = move || {
            let spawned = netns.enter().map_err(LabError::from).and_then(|()| {
                let mut child = command.spawn().map_err(LabError::Command)?;
                *for_thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(pid(&child));
                let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
                Ok((child, pipes))
            });
            // Its copies of the ends of pipes must not keep a reader waiting.
            drop(command);
            let mut child = match spawned {
                Ok((child, pipes)) => {
                    // The other side waits for exactly this.
                    let _ = send.send(Ok(pipes));
                    child
                }
                Err(error) => {
                    let _ = send.send(Err(error));
                    return Err(io::ErrorKind::NotFound.into());
                }
            };
            let ended = wait_for_end(&child);
            let mut alive = for_thread.lock().unwrap_or_else(PoisonError::into_inner);
            *alive = None;
            let status = child.wait();
            drop(specification);
            ended.and(status)
        };
        let thread =
            thread::Builder::new().name("lab-command".into()).spawn(run).map_err(LabError::Command)?;
        let (stdin, stdout, stderr) = started.recv().map_err(|_| NetnsError::Panicked)??;
        Ok(Running { stdin, stdout, stderr, alive, thread: Some(thread), lab: PhantomData })
    }

    /// What the child needs to know: the namespaces by name and path, then the hosts file. In memory, not on disk.
    fn specification(&self, place: Place) -> io::Result<File> {
        let namespace = match place {
            Place::Pod(id) => self.plan().pod(id).map(|p| p.namespace.as_str()),
            Place::Node(_) | Place::Outside(_) => None,
        };
        let mut text = String::new();
        for (name, netns) in self.named_spaces() {
            // Names come from manifests, which can hold anything; what is no file name is left out.
            if !name.is_empty() && !name.starts_with('.') && !name.contains(['/', ' ', '\n']) {
                let _ = writeln!(text, "{name} {}", netns.path().display());
            }
        }
        text.push('\n');
        text.push_str(&hosts::text(self.plan(), namespace));
        let mut file = File::from(memfd_create("ringfence-lab", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(text.as_bytes())?;
        Ok(file)
    }
}

/// Waits for the end without taking note of it, so that the process number stays taken.
fn wait_for_end(child: &Child) -> io::Result<()> {
    loop {
        match waitid(Id::Pid(pid(child)), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            Err(nix::errno::Errno::EINTR) => {}
            other => return Ok(other.map(drop)?),
        }
    }
}

fn pid(child: &Child) -> Pid {
    // Process numbers are positive and far below the limit of an i32.
    Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX))
}
