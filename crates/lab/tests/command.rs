//! Commands inside the lab, and that nothing is left of a lab however it ends. Needs root.
//!
//! This is a program of its own and not a list of `#[test]`s because the lab runs the program again: as the child that
//! stands before a command, and here also as a lab that gets killed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

mod support;

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::unistd::Pid;
use ringfence_lab::{Helper, Lab, Launch, Patience, Place, PodId, child, ranges};
use support::{build, dual_stack, machine, privileged, shop};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match arguments.split_first() {
        Some((first, rest)) if first == "lab-child" => return child::main(rest),
        Some((first, rest)) if first == "lab-victim" => return victim(rest),
        _ => {}
    }
    if !privileged() {
        return ExitCode::SUCCESS;
    }
    let tests: [(&str, fn()); 8] = [
        ("names", names),
        ("exit_status", exit_status),
        ("namespaces_by_name", namespaces_by_name),
        ("input_and_environment", input_and_environment),
        ("nothing_survives_the_command", nothing_survives_the_command),
        ("nothing_survives_a_panic", nothing_survives_a_panic),
        ("nothing_survives_a_kill", nothing_survives_a_kill),
        ("the_keyboard_is_the_commands", the_keyboard_is_the_commands),
    ];
    for (name, test) in tests {
        let before = machine();
        test();
        assert_eq!(machine(), before, "{name} left something");
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}

const WEB_0: Place = Place::Pod(PodId(0));

fn helper() -> Helper {
    Helper::this_program(["lab-child"])
}

/// Runs a shell command line and says what it printed and how it ended.
fn sh(lab: &Lab, place: Place, script: &str) -> (String, u8) {
    let launch = Launch { stdout: Stdio::piped(), ..Launch::new(["sh", "-c", script]) };
    let mut running = lab.spawn(place, launch, &helper()).unwrap();
    let mut text = String::new();
    running.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    (text, running.wait().unwrap())
}

/// Whether a process with this in its command line runs anywhere on the machine.
fn runs(what: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.split(|b| *b == 0).any(|argument| argument == what.as_bytes())
    })
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::yield_now();
    }
}

fn names() {
    let lab = build(&shop(), &dual_stack());
    let web = lab.plan().services[0].addresses.clone();
    for name in ["web", "web.shop", "web.shop.svc", "web.shop.svc.cluster.local"] {
        let (found, status) = sh(&lab, WEB_0, &format!("getent ahosts {name} | cut -d' ' -f1 | sort -u"));
        assert_eq!((found.lines().count(), status), (2, 0), "{name}: {found}");
        assert!(web.iter().all(|a| found.lines().any(|l| l == a.to_string())), "{name}: {found}");
    }
    let (found, _) = sh(&lab, WEB_0, "getent hosts node-2 | tr -s ' '; getent hosts cache-0 | tr -s ' '");
    assert!(found.contains(" node-2\n") && found.contains(" cache-0.data cache-0\n"), "{found}");
    let fetch = "curl --silent --max-time 5 http://web.shop/; curl -6 --silent --max-time 5 http://db:5432/";
    let (answer, status) = sh(&lab, WEB_0, fetch);
    assert!(answer.starts_with("shop/web-") && answer.ends_with("data/db-0\n") && status == 0, "{answer}");
    let outside = Place::Outside(ranges::OUTSIDE_V4.into());
    assert_eq!(
        sh(&lab, outside, "curl --silent --max-time 5 http://web-1.shop:8080/"),
        ("shop/web-1\n".into(), 0)
    );
    // The machine's own names are as they were.
    assert!(!std::fs::read_to_string("/etc/hosts").unwrap().contains("svc.cluster.local"));
}

fn exit_status() {
    let lab = build(&shop(), &dual_stack());
    assert_eq!(sh(&lab, WEB_0, "exit 7").1, 7);
    assert_eq!(sh(&lab, WEB_0, "kill -TERM $$").1, 128 + 15);
    let launch = Launch { stderr: Stdio::null(), ..Launch::new(["no-such-command"]) };
    assert_eq!(lab.spawn(WEB_0, launch, &helper()).unwrap().wait().unwrap(), 127);
}

fn namespaces_by_name() {
    let lab = build(&shop(), &dual_stack());
    let (listed, _) = sh(&lab, WEB_0, "ip netns list | cut -d' ' -f1 | sort | tr '\n' ' '");
    assert_eq!(listed, "data.cache-0 data.db-0 fabric node-1 node-2 outside shop.web-0 shop.web-1 ");
    let db = lab.plan().pods[2].addresses[0].to_string();
    let (address, _) = sh(&lab, WEB_0, "ip netns exec data.db-0 ip -4 -br addr show dev eth0");
    assert!(address.contains(&db), "{address}");
}

fn input_and_environment() {
    let lab = build(&shop(), &dual_stack());
    let environment = vec![("GREETING".into(), "hello".into())];
    let script = "read line; echo $RINGFENCE_LAB $GREETING $line; ls /proc | grep -c '^[0-9]'";
    let launch = Launch {
        stdin: Stdio::piped(),
        stdout: Stdio::piped(),
        environment,
        ..Launch::new(["sh", "-c", script])
    };
    let mut running = lab.spawn(WEB_0, launch, &helper()).unwrap();
    running.stdin.take().unwrap().write_all(b"there\n").unwrap();
    let mut text = String::new();
    running.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let (greeting, processes) = text.split_once('\n').unwrap();
    assert_eq!(greeting, "1 hello there");
    // Its own processes only.
    assert!(processes.trim().parse::<u32>().unwrap() <= 4, "{processes}");
    assert_eq!(running.wait().unwrap(), 0);
}

fn nothing_survives_the_command() {
    let lab = build(&shop(), &dual_stack());
    // One that ends by itself and leaves something behind, even in a session of its own.
    let (_, status) = sh(&lab, WEB_0, "setsid sleep 86411 >/dev/null 2>&1 & exit 3");
    assert_eq!(status, 3);
    wait_until("the background ends", || !runs("86411"));
    // One that is dropped.
    let running = lab.spawn(WEB_0, Launch::new(["sleep", "86412"]), &helper()).unwrap();
    wait_until("it runs", || runs("86412"));
    drop(running);
    wait_until("it ends", || !runs("86412"));
}

fn nothing_survives_a_panic() {
    let result = catch_unwind(AssertUnwindSafe(|| {
        let lab = build(&shop(), &dual_stack());
        let _running = lab.spawn(WEB_0, Launch::new(["sleep", "86413"]), &helper()).unwrap();
        wait_until("it runs", || runs("86413"));
        // A panic without its message, which would look like a failure.
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(result.is_err());
    wait_until("it ends", || !runs("86413"));
}

fn nothing_survives_a_kill() {
    let (mut victim, _output) = start_victim("echo ready; sleep 86414");
    assert!(
        runs("86414") || {
            wait_until("it runs", || runs("86414"));
            true
        }
    );
    kill(pid(&victim), Signal::SIGKILL).unwrap();
    victim.wait().unwrap();
    wait_until("it ends", || !runs("86414"));
}

fn the_keyboard_is_the_commands() {
    // As from a terminal, to everyone in the foreground.
    let (mut victim, _output) = start_victim("trap 'exit 42' INT; echo ready; while :; do sleep 0.1; done");
    killpg(pid(&victim), Signal::SIGINT).unwrap();
    assert_eq!(victim.wait().unwrap().code(), Some(42));
}

/// A lab in another process, in a process group of its own, running this script; returned when it has said so.
fn start_victim(script: &str) -> (Child, impl Read + use<>) {
    let mut command = Command::new("/proc/self/exe");
    let mut victim =
        command.args(["lab-victim", script]).stdout(Stdio::piped()).process_group(0).spawn().unwrap();
    let mut output = BufReader::new(victim.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (victim, output)
}

fn victim(arguments: &[OsString]) -> ExitCode {
    SigSet::from(Signal::SIGINT).thread_block().unwrap();
    let lab = build(&shop(), &dual_stack());
    let probes = lab.plan().matrix(&ringfence_lab::MatrixOptions::default());
    lab.probe(&probes, Patience::QUICK, &mut |_, _| {}).unwrap();
    let launch = Launch::new([OsString::from("sh"), "-c".into(), arguments[0].clone()]);
    lab.spawn(WEB_0, launch, &helper()).unwrap().wait().unwrap().into()
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}
