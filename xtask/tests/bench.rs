//! Whether the benchmarks run; what they measure is for a quiet machine.

use std::process::Command;

#[test]
fn the_quick_benchmark_runs() {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "needs root, and CI must not skip it");
        eprintln!("skipped: needs root");
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).args(["bench", "--quick", "--json"]).output();
    let output = output.expect("xtask runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    let rows = report["rows"].as_array().expect("there are rows");
    let values = rows.iter().filter_map(|row| row["value"].as_f64()).filter(|value| *value > 0.0);
    assert_eq!((rows.len(), values.count()), (22, 22), "{report:#}");
}
