//! Compiles the BPF program into `OUT_DIR`, from where `object.rs` takes it in. Needs clang, nothing of a kernel's
//! sources.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use libbpf_cargo::SkeletonBuilder;

const FOLDER: &str = "src/bpf";
const SOURCE: &str = "src/bpf/datapath.bpf.c";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed={FOLDER}");
    println!("cargo::rerun-if-env-changed=CLANG");
    match compile() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("cargo::error={}", message.replace('\n', " | "));
            ExitCode::FAILURE
        }
    }
}

fn compile() -> Result<(), String> {
    let clang = std::env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    let version = Command::new(&clang).arg("--version").stdout(Stdio::null()).status();
    if !version.is_ok_and(|status| status.success()) {
        return Err(format!(
            "{} does not run: the BPF program is compiled with clang 14 or newer. Install it (Debian, Ubuntu: \
             `apt install clang`; Fedora: `dnf install clang`), or name it in the environment variable CLANG.",
            clang.display()
        ));
    }
    let out = std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: run this through cargo")?;
    SkeletonBuilder::new()
        .source(SOURCE)
        .obj(PathBuf::from(out).join("datapath.bpf.o"))
        .clang(clang)
        // v3 has the atomic exchanges; kernels have it since 5.12.
        .clang_args(["-mcpu=v3", "-Wall", "-Wextra", "-Werror"])
        .build()
        .map_err(|error| format!("{SOURCE} does not compile: {error:#}"))
}
