//! The agent as a whole: threads, sockets and signals, from its options to its end.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use nix::ifaddrs::getifaddrs;
use ringfence_cluster::watch::{self, Pace};
use ringfence_cluster::{Access, causes, connect};
use ringfence_datapath::Found;
use ringfence_datapath::conntrack::{self, Conntrack};
use ringfence_datapath::{Enforcer, Kernel, NodeView, kernel, requirements};
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::metrics::Metrics;
use crate::server::{self, Desk};
use crate::worker::{Host, Settings, Worker};

/// How many pieces of news wait for the worker at most; then the API server waits.
const INBOX: usize = 4096;

/// How an agent runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// How the node is looked at.
    pub settings: Settings,
    /// Which cluster, and as whom.
    pub access: Access,
    /// How the API server is asked.
    pub pace: Pace,
    /// How large the kernel's tables are.
    pub tables: ringfence_datapath::Options,
    /// The folder of the BPF file system where links and tables are pinned.
    pub pins: PathBuf,
    /// The node's socket.
    pub socket: PathBuf,
    /// Where health, readiness and metrics are asked for; `None`: nowhere.
    pub listen: Option<SocketAddr>,
}

/// Why an agent ended.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum RunError {
    #[error("this node cannot enforce policies:\n{0}")]
    Requirements(String),
    #[error("the API server cannot be asked")]
    Cluster(#[from] ringfence_cluster::Error),
    #[error("the kernel half could not be started")]
    Kernel(#[from] kernel::Error),
    #[error("connections are not tracked on this node")]
    Conntrack(#[from] conntrack::Error),
    #[error("cannot listen on {at}")]
    Listen { at: String, source: io::Error },
    #[error("no threads can be started")]
    Threads(#[source] io::Error),
}

/// Runs until it is told to end by SIGTERM or SIGINT. What is in force stays so.
///
/// # Errors
/// If it cannot begin: what is missing is said, and nothing is changed.
pub fn run(options: Options) -> Result<(), RunError> {
    let mut missing = requirements::missing();
    missing.extend(requirements::missing_for_pins(&options.pins));
    if !missing.is_empty() {
        let lines: Vec<String> = missing.iter().map(|m| format!("- {m}")).collect();
        return Err(RunError::Requirements(lines.join("\n")));
    }
    let (kernel, found) = Kernel::adopt_or_load(&options.tables, &options.pins)?;
    Conntrack::ensure()?.keep();
    tell_found(&found);
    let left = found != Found::Nothing;
    let view = NodeView { name: options.settings.node.clone(), ..NodeView::default() };
    let is_empty = match &found {
        Found::Nothing | Found::OtherTables => true,
        Found::Same | Found::OtherProgram => false,
        Found::Damaged { tables_kept, .. } => !tables_kept,
    };
    let enforcer = if is_empty { Enforcer::fresh(kernel, view) } else { Enforcer::new(kernel, view) };
    let metrics = Arc::new(Metrics::default());
    let worker = Worker::new(options.settings.clone(), ThisNode, enforcer, left, metrics.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(RunError::Threads)?;
    runtime.block_on(serve(options, worker, metrics))
}

async fn serve(options: Options, worker: Worker<ThisNode>, metrics: Arc<Metrics>) -> Result<(), RunError> {
    let client = connect(&options.access).await?;
    let (tell, news) = mpsc::channel(INBOX);
    let (ask, questions) = mpsc::channel(16);
    let desk = Desk { questions: ask, metrics };
    let socket = listen(&options.socket)?;
    let tcp = match options.listen {
        Some(at) => {
            let failed = |source| RunError::Listen { at: at.to_string(), source };
            Some(TcpListener::bind(at).await.map_err(failed)?)
        }
        None => None,
    };
    let mut ends = Ends::new().map_err(RunError::Threads)?;
    // The work on the kernel is done by a thread of its own, so that nobody who asks waits for the API server.
    let working = std::thread::Builder::new().name("ringfence-work".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        runtime.block_on(worker.run(news, questions));
        io::Result::Ok(())
    });
    let working = working.map_err(RunError::Threads)?;
    let watching = tokio::spawn(watch::watch(client, options.pace, tell));
    let local = server::local(desk.clone());
    let answering = tokio::spawn(async move { axum::serve(socket, local).await });
    let telling = tcp.map(|tcp| tokio::spawn(async move { axum::serve(tcp, server::open(desk)).await }));
    ends.wait().await;
    watching.abort();
    answering.abort();
    if let Some(telling) = telling {
        telling.abort();
    }
    // The sender of news is gone with the watch: the worker ends after what it is doing now.
    drop(watching.await);
    drop(answering.await);
    drop(fs::remove_file(&options.socket));
    let ended = tokio::task::spawn_blocking(move || working.join()).await;
    match ended {
        Ok(Ok(ended)) => ended.map_err(RunError::Threads),
        _ => Err(RunError::Threads(io::Error::other("the worker failed"))),
    }
}

fn tell_found(found: &Found) {
    let text = match found {
        Found::Nothing => "nothing was in force on this node",
        Found::Same => "the policies in force are taken over from an agent before this one",
        Found::OtherProgram => "the policies in force are taken over from another version",
        Found::OtherTables => "tables of another version or size are in force until the new ones are",
        Found::Damaged { what, .. } => {
            eprintln!("ringfence agent: what an agent has left is not whole ({what}); it is replaced");
            return;
        }
    };
    eprintln!("ringfence agent: {text}");
}

/// A socket in place of one that an agent before this one has left. That none is running was seen by its pins.
fn listen(path: &PathBuf) -> Result<UnixListener, RunError> {
    let failed = |source| RunError::Listen { at: path.display().to_string(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    UnixListener::bind(path).map_err(failed)
}

/// The signals by which it is told to end.
struct Ends {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

impl Ends {
    fn new() -> io::Result<Ends> {
        Ok(Ends { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

/// The machine that this process runs on.
#[derive(Debug)]
struct ThisNode;

impl Host for ThisNode {
    fn addresses(&self) -> io::Result<Vec<IpAddr>> {
        let mut addresses: Vec<IpAddr> = getifaddrs()?
            .filter_map(|interface| {
                let address = interface.address?;
                let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
                v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
            })
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        Ok(addresses)
    }

    fn attach(&mut self, enforcer: &mut Enforcer) -> Result<(), String> {
        enforcer.attach_pinned().map(drop).map_err(|error| causes(&error))
    }
}
