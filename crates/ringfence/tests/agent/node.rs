//! A node: a router with a BPF file system of its own, two pods behind it, and an agent as a process on it.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};

use crate::double::{Double, namespace, node, pod};

#[path = "../../../datapath/tests/support/netns.rs"]
mod netns;

pub(crate) use netns::Netns;

pub(crate) const CLIENT: &str = "10.0.1.1";
pub(crate) const SERVER: &str = "10.0.2.1";

/// A denied packet is dropped silently: this is how long one waits for nothing.
const NOTHING: Duration = Duration::from_millis(300);

/// How long anything may take before it is a failure.
const DEADLINE: Duration = Duration::from_secs(60);

static COUNT: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Node {
    pub(crate) double: Double,
    pub(crate) router: Netns,
    pub(crate) client: Netns,
    pub(crate) server: Netns,
    folder: PathBuf,
    agent: Option<Child>,
}

impl Node {
    /// Without an agent yet. `None` where this is not run as root.
    pub(crate) fn new() -> Option<Node> {
        if !Uid::effective().is_root() {
            assert!(std::env::var_os("CI").is_none(), "this needs root");
            return None;
        }
        let (router, client, server) = (Netns::new(), Netns::new(), Netns::new());
        router.join(&client, "client", [CLIENT, "fd00:1::1"], ["10.0.1.254", "fd00:1::fe"]);
        router.join(&server, "server", [SERVER, "fd00:2::1"], ["10.0.2.254", "fd00:2::fe"]);
        router.sysctl("net/ipv4/ip_forward", "1");
        router.mount_bpf();
        for port in [80, 81] {
            let listener = server.run(move || TcpListener::bind((SERVER, port)).unwrap());
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    std::thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
                }
            });
        }
        let double = router.run(Double::start);
        double.put(namespace("shop"));
        double.put(node("n1", "10.0.0.0/16"));
        double.put(pod("shop", "client-1", "n1", CLIENT));
        double.put(pod("shop", "server-1", "n1", SERVER));
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("ringfence-agent-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("kubeconfig"), double.kubeconfig()).unwrap();
        Some(Node { double, router, client, server, folder, agent: None })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
        command.arg("agent").args(["--node-name", "n1", "--listen", "127.0.0.1:9964"]);
        command.arg("--kubeconfig").arg(self.folder.join("kubeconfig"));
        command.arg("--socket").arg(self.socket());
        command
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("agent.sock")
    }

    /// Starts an agent.
    pub(crate) fn start(&mut self) {
        self.start_with("");
    }

    /// Starts an agent with these arguments beside the usual ones.
    pub(crate) fn start_with(&mut self, arguments: &str) {
        let mut command = self.command();
        command.args(arguments.split_whitespace());
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.agent = Some(self.router.run(move || command.spawn().unwrap()));
    }

    /// Starts another one beside it, and waits for its end.
    pub(crate) fn second(&self) -> (i32, String) {
        output(&self.router, self.command())
    }

    /// Waits until the agent is ready.
    pub(crate) fn ready(&self) {
        let started = Instant::now();
        while !self.get("/readyz").starts_with("HTTP/1.1 200") {
            assert!(started.elapsed() < DEADLINE, "not ready: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Ends the agent as nobody should.
    pub(crate) fn kill(&mut self) {
        let mut agent = self.agent.take().unwrap();
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    /// Ends it in order.
    pub(crate) fn stop(&mut self) {
        let mut agent = self.agent.take().unwrap();
        kill(Pid::from_raw(agent.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        let status = agent.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// What a command says on this node.
    pub(crate) fn ask(&self, command: &str, arguments: &str) -> (i32, String) {
        let mut run = Command::new(env!("CARGO_BIN_EXE_ringfence"));
        run.arg(command).args(arguments.split_whitespace());
        run.arg("--socket").arg(self.socket());
        output(&self.router, run)
    }

    /// What the agent answers over HTTP on its socket; empty where there is no answer.
    pub(crate) fn get(&self, path: &str) -> String {
        let answer = || -> std::io::Result<String> {
            let mut stream = UnixStream::connect(self.socket())?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes())?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        answer().unwrap_or_default()
    }

    /// Whether the client's pod reaches the server's by a new connection, and bytes come back.
    pub(crate) fn connects(&self, port: u16) -> bool {
        self.open(port).is_some_and(|mut stream| echoes(&mut stream))
    }

    /// A new connection from the node itself to the server's address.
    pub(crate) fn open_from_node(&self, port: u16) -> Option<TcpStream> {
        let to = SocketAddr::new(SERVER.parse::<IpAddr>().unwrap(), port);
        self.router.run(move || TcpStream::connect_timeout(&to, NOTHING)).ok()
    }

    /// A new connection from the client's pod to the server's.
    pub(crate) fn open(&self, port: u16) -> Option<TcpStream> {
        let to = SocketAddr::new(SERVER.parse::<IpAddr>().unwrap(), port);
        self.client.run(move || TcpStream::connect_timeout(&to, NOTHING)).ok()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "the agent's log:\n{}\nthe API server was asked:\n{:#?}",
                self.log(),
                self.double.asked()
            );
        }
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Whether what is sent comes back.
pub(crate) fn echoes(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(NOTHING)).unwrap();
    let mut answer = [0; 5];
    stream.write_all(b"hello").and_then(|()| stream.read_exact(&mut answer)).is_ok() && &answer == b"hello"
}

fn output(router: &Netns, mut command: Command) -> (i32, String) {
    let output = router.run(move || command.stdin(Stdio::null()).output().unwrap());
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.code().unwrap_or(-1), text)
}

/// Waits for something that must come.
pub(crate) fn eventually(what: &str, mut happens: impl FnMut() -> bool) {
    let started = Instant::now();
    while !happens() {
        assert!(started.elapsed() < DEADLINE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
