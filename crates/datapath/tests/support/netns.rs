//! Network namespaces that live as long as a thread: nothing has a name, and nothing is left behind.

use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;

type Job = Box<dyn FnOnce() + Send>;

pub(crate) struct Netns {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    tid: i32,
}

impl Netns {
    pub(crate) fn new() -> Self {
        let (jobs, receiver) = channel::<Job>();
        let (tell, tid) = channel();
        let thread = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            tell.send(gettid().as_raw()).unwrap();
            receiver.iter().for_each(|job| job());
        });
        let netns = Self { jobs: Some(jobs), thread: Some(thread), tid: tid.recv().unwrap() };
        netns.ip("link set lo up");
        // Addresses are usable at once, without a second of asking whether they are doubles.
        netns.sysctl("net/ipv6/conf/all/accept_dad", "0");
        netns.sysctl("net/ipv6/conf/default/accept_dad", "0");
        netns
    }

    /// Runs something inside.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, result) = channel();
        let job: Job = Box::new(move || drop(tell.send(job())));
        self.jobs.as_ref().unwrap().send(job).unwrap();
        result.recv().expect("the job did not panic")
    }

    /// Runs `ip` inside.
    pub(crate) fn ip(&self, arguments: &str) {
        let arguments: Vec<_> = arguments.split(' ').map(str::to_owned).collect();
        self.run(move || {
            assert!(Command::new("ip").args(&arguments).status().unwrap().success(), "{arguments:?}")
        });
    }

    /// Writes a sysctl inside.
    pub(crate) fn sysctl(&self, path: &'static str, value: &'static str) {
        self.run(move || std::fs::write(format!("/proc/sys/{path}"), value).unwrap());
    }

    /// Gives the thread of this namespace a BPF file system of its own, which goes with it.
    pub(crate) fn mount_bpf(&self) {
        self.run(|| {
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
            mount(Some("bpf"), "/sys/fs/bpf", Some("bpf"), MsFlags::empty(), none).unwrap();
        });
    }

    /// Joins `pod` to this router, with one address of each family; the router has the next ones.
    pub(crate) fn join(&self, pod: &Self, name: &str, [v4, v6]: [&str; 2], [router4, router6]: [&str; 2]) {
        self.ip(&format!("link add {name} type veth peer name eth0 netns {}", pod.tid));
        for (netns, link, v4, v6) in [(self, name, router4, router6), (pod, "eth0", v4, v6)] {
            netns.ip(&format!("addr add {v4}/24 dev {link}"));
            netns.ip(&format!("addr add {v6}/64 dev {link} nodad"));
            netns.ip(&format!("link set {link} up"));
        }
        pod.ip(&format!("route add default via {router4}"));
        pod.ip(&format!("-6 route add default via {router6}"));
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        drop(self.jobs.take());
        // A panic in there was told by `run`.
        drop(self.thread.take().map(JoinHandle::join));
    }
}
