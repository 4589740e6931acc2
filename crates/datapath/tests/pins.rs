//! Enforcement that outlives its process, and is taken over: with real connections, cut short at every step, and from
//! pins that are not what they should be.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here fails the test"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use libbpf_rs::query::{LinkInfoIter, MapInfoIter, ProgInfoIter};
use libbpf_rs::{Link, MapCore, MapHandle, MapType};
use ringfence_datapath::abi::{Address, CutKey, EndpointWord};
use ringfence_datapath::conntrack::Conntrack;
use ringfence_datapath::kernel::{Error, Kernel};
use ringfence_datapath::pins::{self, Removed, Step};
use ringfence_datapath::{Found, Options, PinError, requirements};
use support::net::{CLIENT, Net, SERVER, connect, datagram_arrives, denied, echoes, net, rows, serve_tcp};
use support::netns::Netns;
use support::{ip, is_root, options, put_end};

const ROOT: &str = "/sys/fs/bpf/ringfence";

/// A router with a BPF file system, and a server that answers.
fn prepared() -> Option<Net> {
    if !is_root() {
        return None;
    }
    let net = net();
    net.router.mount_bpf();
    net.router.run(|| Conntrack::ensure().unwrap().keep());
    for server in SERVER.map(ip) {
        serve_tcp(&net.server, server, 80);
        serve_tcp(&net.server, server, 81);
    }
    Some(net)
}

/// Starts as an agent does: takes what is there, fills tables that are empty, and attaches.
fn start(router: &Netns, options: &Options) -> (Kernel, Found) {
    let (mut kernel, found) = begin(router, options);
    router.run(move || {
        kernel.attach_pinned().unwrap();
        (kernel, found)
    })
}

fn begin(router: &Netns, options: &Options) -> (Kernel, Found) {
    let options = options.clone();
    router.run(move || {
        let (mut kernel, found) = Kernel::adopt_or_load(&options, Path::new(ROOT)).unwrap();
        if kernel.dump().unwrap().addresses.is_empty() {
            kernel.apply(&rows()).unwrap();
        }
        (kernel, found)
    })
}

/// The policy is in force, for both families.
fn enforced(net: &Net) {
    for server in SERVER.map(ip) {
        echoes(&mut connect(&net.client, server, 80).unwrap());
        assert!(!datagram_arrives(net, server, 54, 10));
    }
}

/// What is under the root, by its place there.
fn pinned(router: &Netns) -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            found.push(entry.path().strip_prefix(ROOT).unwrap().to_owned());
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), found);
            }
        }
    }
    router.run(|| {
        let mut found = Vec::new();
        if Path::new(ROOT).exists() {
            walk(Path::new(ROOT), &mut found);
        }
        found.sort();
        found
    })
}

fn find(router: &Netns, name: &str) -> PathBuf {
    let found: Vec<_> = pinned(router).into_iter().filter(|path| path.ends_with(name)).collect();
    assert_eq!(found.len(), 1, "{name}: {found:?}");
    Path::new(ROOT).join(&found[0])
}

/// Exactly one set of tables with one program.
fn is_one_generation(router: &Netns) {
    let found = pinned(router);
    let depth = |depth: usize| found.iter().filter(|path| path.components().count() == depth).count();
    assert_eq!((depth(1), depth(2), depth(3)), (1, TABLES + 1, 6), "{found:?}");
}

/// The tables of the program that are pinned.
const TABLES: usize = 12;

/// The kernel's objects of this kind of program, by their numbers. Others run beside these tests, so what is gone is
/// asked for by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Objects {
    links: BTreeSet<u32>,
    programs: BTreeSet<u32>,
    maps: BTreeSet<u32>,
}

impl Objects {
    /// All that is pinned now.
    fn pinned(router: &Netns) -> Objects {
        let paths = pinned(router);
        router.run(move || {
            let mut objects = Objects::default();
            for path in paths.iter().map(|path| Path::new(ROOT).join(path)).filter(|path| path.is_file()) {
                if path.parent().unwrap().file_name().unwrap().to_string_lossy().starts_with("program-") {
                    let info = Link::open(&path).unwrap().info().unwrap();
                    objects.links.insert(info.id);
                    objects.programs.insert(info.prog_id);
                } else {
                    let map = MapHandle::from_pinned_path(&path).unwrap();
                    objects.maps.insert(map.info().unwrap().info.id);
                }
            }
            objects
        })
    }

    fn add(&mut self, other: Objects) {
        self.links.extend(other.links);
        self.programs.extend(other.programs);
        self.maps.extend(other.maps);
    }

    fn without(&self, other: &Objects) -> Objects {
        let less = |one: &BTreeSet<u32>, other: &BTreeSet<u32>| one - other;
        Objects {
            links: less(&self.links, &other.links),
            programs: less(&self.programs, &other.programs),
            maps: less(&self.maps, &other.maps),
        }
    }

    fn still_there(&self) -> Objects {
        let within = |all: BTreeSet<u32>, ours: &BTreeSet<u32>| &all & ours;
        Objects {
            links: within(LinkInfoIter::default().map(|info| info.id).collect(), &self.links),
            programs: within(ProgInfoIter::default().map(|info| info.id).collect(), &self.programs),
            maps: within(MapInfoIter::default().map(|info| info.id).collect(), &self.maps),
        }
    }

    /// The kernel frees what nobody holds a moment later.
    fn are_gone(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.still_there() != Objects::default() {
            assert!(Instant::now() < deadline, "left: {:?}", self.still_there());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn what_is_in_force_outlives_the_process() {
    let Some(net) = prepared() else { return };
    let (kernel, found) = start(&net.router, &options());
    assert_eq!(found, Found::Nothing);
    is_one_generation(&net.router);
    enforced(&net);
    let objects = Objects::pinned(&net.router);
    assert_eq!((objects.links.len(), objects.programs.len(), objects.maps.len()), (6, 1, TABLES));
    let tables = kernel.dump().unwrap();

    // One agent at a time.
    let busy = net.router.run(|| Kernel::adopt_or_load(&options(), Path::new(ROOT)).err().unwrap());
    assert!(matches!(busy, Error::Pins(PinError::Busy { .. })), "{busy:?}");
    let busy = net.router.run(|| pins::remove(Path::new(ROOT)).unwrap_err());
    assert!(matches!(busy, PinError::Busy { .. }), "{busy:?}");

    drop(kernel);
    enforced(&net);

    // Whoever comes next finds it, can change it, and leaves it.
    let (kernel, found) = start(&net.router, &options());
    assert_eq!((found, kernel.dump().unwrap()), (Found::Same, tables));
    assert_eq!(Objects::pinned(&net.router), objects);
    let (mut kernel, left) = net.router.run(move || {
        let left = kernel.pin_steps().unwrap();
        (kernel, left)
    });
    assert_eq!(left, []);
    enforced(&net);
    assert!(kernel.counters().unwrap().denied > 0);
    kernel.apply(&[put_end(2, 0, EndpointWord::isolated(0x80), EndpointWord::OPEN)]).unwrap();
    assert!(denied(connect(&net.client, ip(SERVER[0]), 80)));
    drop(kernel);
    assert!(denied(connect(&net.client, ip(SERVER[1]), 80)));

    let removed = net.router.run(|| pins::remove(Path::new(ROOT)).unwrap());
    assert_eq!(removed, Removed { links: 6, tables: TABLES, folders: 3 });
    objects.are_gone();
    assert_eq!(pinned(&net.router), Vec::<PathBuf>::new());
    assert!(connect(&net.client, ip(SERVER[0]), 81).is_ok());
    assert_eq!(net.router.run(|| pins::remove(Path::new(ROOT)).unwrap()), Removed::default());
}

/// Packets that must not come through, and connections that must.
struct Stream {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    arrived: Arc<AtomicU32>,
    made: Arc<AtomicU32>,
}

impl Stream {
    fn new(net: &Net) -> Stream {
        let stop = Arc::new(AtomicBool::new(false));
        let (arrived, made) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let mut threads = Vec::new();
        for (server, client) in SERVER.map(ip).into_iter().zip(CLIENT.map(ip)) {
            let socket = net.server.run(move || UdpSocket::bind((server, 54)).unwrap());
            socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            let (stopped, count) = (stop.clone(), arrived.clone());
            threads.push(std::thread::spawn(move || {
                let mut buffer = [0; 8];
                while !stopped.load(Ordering::Relaxed) {
                    count.fetch_add(u32::from(socket.recv(&mut buffer).is_ok()), Ordering::Relaxed);
                }
            }));
            let socket = net.client.run(move || UdpSocket::bind((client, 0)).unwrap());
            let stopped = stop.clone();
            threads.push(std::thread::spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    socket.send_to(b"no", (server, 54)).unwrap();
                    std::thread::sleep(Duration::from_micros(200));
                }
            }));
        }
        let (stopped, count, client) = (stop.clone(), made.clone(), net.client.clone());
        threads.push(std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for server in SERVER.map(ip) {
                    let stream = client.run(move || {
                        std::net::TcpStream::connect_timeout(&(server, 80).into(), Duration::from_millis(900))
                    });
                    // A packet that is lost is sent again after a second.
                    echoes(&mut stream.expect("an allowed connection is made at once"));
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        }));
        Stream { stop, threads, arrived, made }
    }

    /// Ends it: how many connections there were, and how many packets came through.
    fn end(self) -> (u32, u32) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        (self.made.load(Ordering::Relaxed), self.arrived.load(Ordering::Relaxed))
    }
}

/// From one to another and back, each time cut short one step later, with the next start as the one or the other.
fn taken_over_at_every_step(one: &Options, other: &Options, expected: &Found) {
    let Some(net) = prepared() else { return };
    let mut seen = Objects::default();
    drop(start(&net.router, one));
    let stream = Stream::new(&net);
    let (mut now, mut at, mut longest) = (0, 0, 0);
    loop {
        let kinds = [one, other];
        let next = 1 - now;
        let (kernel, found) = begin(&net.router, kinds[next]);
        assert_eq!(&found, expected, "cut short at step {at}");
        let (steps, kernel) = net.router.run(move || {
            let mut kernel = kernel;
            let steps = kernel.pin_steps().unwrap();
            for step in steps.iter().take(at) {
                kernel.carry_out(step).unwrap();
            }
            (steps, kernel)
        });
        seen.add(Objects::pinned(&net.router));
        drop(kernel);
        longest = longest.max(steps.len());
        now = if at % 2 == 0 { next } else { now };
        let (kernel, found) = start(&net.router, kinds[now]);
        let whole = steps.iter().take(at).any(|step| matches!(step, Step::Pinned { .. }));
        let unpinned = steps.iter().take(at).any(|step| matches!(step, Step::Unpin(_)));
        if whole && unpinned && now == next {
            assert_eq!(found, Found::Same, "cut short at step {at}");
        }
        is_one_generation(&net.router);
        drop(kernel);
        if at == longest {
            break;
        }
        at += 1;
    }
    let (made, arrived) = stream.end();
    println!("{longest} steps, {made} connections");
    assert_eq!(arrived, 0);
    assert!(made > 20, "{made}");
    enforced(&net);

    let last = Objects::pinned(&net.router);
    seen.without(&last).are_gone();
    net.router.run(|| pins::remove(Path::new(ROOT)).unwrap());
    last.are_gone();
}

#[test]
fn other_tables_take_over_at_every_step() {
    let larger = Options { rules: 128, ..options() };
    taken_over_at_every_step(&options(), &larger, &Found::OtherTables);
}

#[test]
fn another_program_takes_over_at_every_step() {
    // What is written into the program makes it another one.
    let other = Options { event_interval: Duration::from_millis(1), ..options() };
    taken_over_at_every_step(&options(), &other, &Found::OtherProgram);
}

/// What was done to the pins is seen, and the next start makes everything whole.
fn damaged(net: &Net, tables_kept: bool, what: &str) {
    let before = Objects::pinned(&net.router);
    let (kernel, found) = start(&net.router, &options());
    let Found::Damaged { what: found, tables_kept: kept } = found else { panic!("{found:?}") };
    assert!(found.contains(what) && kept == tables_kept, "{found} ({kept})");
    is_one_generation(&net.router);
    enforced(net);
    let after = Objects::pinned(&net.router);
    drop(kernel);
    let gone = before.without(&after);
    assert_eq!((gone.programs.len(), gone.maps.is_empty()), (1, tables_kept));
    gone.are_gone();
}

#[test]
fn damaged_pins_are_seen_and_made_whole() {
    let Some(net) = prepared() else { return };
    let router = &net.router;
    drop(start(router, &options()));

    let path = find(router, "forward-ipv6");
    router.run(move || fs::remove_file(path).unwrap());
    damaged(&net, false, "forward-ipv6");

    // Detached by hand: the link is there, and nothing hangs at the hook.
    let path = find(router, "forward-ipv4");
    router.run(move || Link::open(path).unwrap().detach().unwrap());
    damaged(&net, true, "is not attached");

    let path = find(router, "rules");
    router.run(move || fs::remove_file(path).unwrap());
    damaged(&net, false, "rules");

    // A table like it that no packet is judged by, a table of another size, and a link in its place.
    for rows in [64, 65] {
        let path = find(router, "rules");
        router.run(move || {
            fs::remove_file(&path).unwrap();
            let flags = libbpf_rs::libbpf_sys::bpf_map_create_opts {
                sz: size_of::<libbpf_rs::libbpf_sys::bpf_map_create_opts>() as u64,
                map_flags: libbpf_rs::libbpf_sys::BPF_F_NO_PREALLOC,
                ..Default::default()
            };
            let mut map = MapHandle::create(MapType::Hash, Some("rules"), 16, 8, rows, &flags).unwrap();
            map.pin(&path).unwrap();
        });
        let before = Objects::pinned(router);
        let (_, found) = start(router, &options());
        let what = if rows == 64 { "is not the table that packets" } else { "is another table" };
        assert!(matches!(&found, Found::Damaged { what: found, .. } if found.contains(what)), "{found:?}");
        is_one_generation(router);
        before.without(&Objects::pinned(router)).are_gone();
    }
    let (path, link) = (find(router, "rules"), find(router, "forward-ipv4"));
    router.run(move || {
        fs::remove_file(&path).unwrap();
        fs::hard_link(&link, &path).unwrap();
    });
    let (_, found) = start(router, &options());
    assert!(matches!(&found, Found::Damaged { what, .. } if what.contains("is no table")), "{found:?}");
    is_one_generation(router);

    // A link that belongs to another network namespace does nothing here.
    let folder = find(router, "forward-ipv4").parent().unwrap().to_owned();
    let old = router.run(move || {
        let netns = fs::File::open("/proc/thread-self/ns/net").unwrap();
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        let (mut kernel, found) = Kernel::adopt_or_load(&options(), Path::new(ROOT)).unwrap();
        kernel.attach_pinned().unwrap();
        drop(kernel);
        nix::sched::setns(netns, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        (found, folder.exists())
    });
    assert!(matches!(&old.0, Found::Damaged { tables_kept: true, .. }), "{old:?}");
    assert!(!old.1);
    damaged(&net, true, "is not attached");

    // What another version may have left: other names, deeper folders, symbolic links.
    router.run(|| {
        let folder = Path::new(ROOT).join("v9/deep");
        fs::create_dir_all(&folder).unwrap();
        std::os::unix::fs::symlink("/sys/fs/bpf", folder.join("away")).unwrap();
    });
    let (_, found) = start(router, &options());
    assert_eq!(found, Found::Same);
    is_one_generation(router);
    enforced(&net);
}

/// Conntrack has forgotten what was cut, so nobody could write it again.
#[test]
fn what_was_cut_stays_so_under_other_tables() {
    let Some(net) = prepared() else { return };
    let keys = [1, 2, 3].map(|port| {
        CutKey::new((Address::from(ip(SERVER[1])), port), (Address::from(ip(CLIENT[1])), 40_000), 6)
    });
    let (kernel, _) = start(&net.router, &options());
    keys.iter().for_each(|key| kernel.cut(key, Duration::from_secs(1 << 30)).unwrap());
    let cut = kernel.dump().unwrap().cut;
    assert_eq!(cut.len(), keys.len());
    drop(kernel);
    for (rows, expected) in [(65, Found::OtherTables), (65, Found::Same), (66, Found::OtherTables)] {
        let (kernel, found) = start(&net.router, &Options { cut: rows, ..options() });
        assert_eq!((found, &kernel.dump().unwrap().cut), (expected, &cut));
    }
    net.router.run(|| pins::remove(Path::new(ROOT)).unwrap());
}

#[test]
fn without_a_file_system_for_pins_it_says_what_to_do() {
    if !is_root() {
        return;
    }
    let root = std::env::temp_dir().join("ringfence-pins/deep");
    let error = Kernel::adopt_or_load(&options(), &root).err().unwrap();
    assert!(matches!(&error, Error::Pins(PinError::NoFileSystem { path }) if *path == root), "{error:?}");
    assert!(error.to_string().contains("mount -t bpf"), "{error}");
    assert!(requirements::missing_for_pins(&root).unwrap().to_string().contains("mount -t bpf"));
    assert!(!root.exists());
    let unpinned = Kernel::load(&options()).unwrap().attach_pinned().unwrap_err();
    assert!(matches!(unpinned, Error::Pins(PinError::Unpinnable)), "{unpinned:?}");
}
