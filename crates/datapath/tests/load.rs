//! Loads and attaches.
use ringfence_datapath::kernel::Kernel;
use ringfence_datapath::options::Options;

#[test]
fn loads_and_attaches() {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
    let mut kernel = Kernel::load(&Options::default()).unwrap();
    kernel.attach().unwrap();
    for size in Options::default().sizes() {
        println!("{size}");
    }
}
