//! The lab, for real: needs root.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::TcpStream;
use std::time::Instant;

use ringfence_k8s::{ContainerPort, Inventory, Workload};
use ringfence_lab::{Lab, Options, PodId};
use ringfence_policy::Protocol;

#[test]
fn spine() {
    let web = Workload {
        namespace: "shop".into(),
        kind: "Deployment".into(),
        name: "web".into(),
        labels: BTreeMap::new(),
        replicas: 2,
        ports: vec![ContainerPort { name: None, protocol: Protocol::Tcp, port: 80 }],
        host_network: false,
        addresses: vec![],
        node: None,
        source: None,
    };
    let inventory = Inventory { workloads: vec![web], ..Inventory::default() };
    let start = Instant::now();
    let options = Options { dual_stack: true, ..Options::default() };
    let lab = Lab::build(&inventory, &options, &mut |s, d, t| eprintln!("{s:?} {d}/{t} {:?}", start.elapsed())).unwrap();
    for address in lab.plan().pods[1].addresses.clone() {
        let text = lab
            .in_pod(PodId(0), || {
                let mut text = String::new();
                TcpStream::connect((address, 80)).unwrap().read_to_string(&mut text).unwrap();
                text
            })
            .unwrap();
        eprintln!("{text} {:?}", start.elapsed());
        assert!(text.ends_with("shop/web-1\n"));
    }
}
