//! The built command, run as a user runs it: arguments and files in, exit status and both outputs out.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "these are tests, also outside of their #[test] functions"
)]

mod action;
mod check;
mod cluster;
mod diff;
mod docs;
mod examples;
mod explain;
mod input;
mod lab;
mod lab_watch;
mod map;
mod map_formats;
mod map_select;
mod normalize;
mod sarif;
mod verify;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// What a run of the command did.
#[derive(Debug)]
struct Run {
    status: i32,
    out: String,
    err: String,
}

impl Run {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// For snapshots: everything that the user sees.
    fn shown(&self) -> String {
        format!("{}--- standard error\n{}--- status {}\n", self.out, self.err, self.status)
    }
}

/// Runs the command among the fixtures.
fn run(arguments: &str) -> Run {
    run_in(&fixtures(), arguments, "")
}

/// Runs the command among the fixtures, with something on standard input.
fn run_with(arguments: &str, stdin: &str) -> Run {
    run_in(&fixtures(), arguments, stdin)
}

fn run_in(folder: &Path, arguments: &str, stdin: &str) -> Run {
    run_as(folder, arguments, stdin, &[])
}

/// Runs the command with these variables in its environment.
fn run_as(folder: &Path, arguments: &str, stdin: &str, variables: &[(&str, &str)]) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .args(arguments.split_whitespace())
        .current_dir(folder)
        // Whoever runs the tests may have a cluster.
        .env("KUBECONFIG", "no-such-kubeconfig")
        .env_remove("KUBERNETES_SERVICE_HOST")
        // Help is as wide as this says.
        .env_remove("COLUMNS")
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that has no use for its input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    Run {
        status: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// A new folder with these files.
fn folder(name: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    for (name, content) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    folder
}
