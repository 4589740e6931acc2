//! What the kernel and the machine must have, asked before anything is loaded, so that what is missing is told in
//! words and not as an error number. It changes nothing.

use std::fmt;
use std::fs;
use std::path::Path;

use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::Func;
use libbpf_rs::libbpf_sys::{BPF_F_NO_PREALLOC, bpf_map_create_opts};
use libbpf_rs::{MapHandle, MapType, ProgramType};

use crate::pins;

/// The oldest kernel with BPF programs at netfilter hooks.
const OLDEST_KERNEL: (u32, u32) = (6, 4);

/// Functions of the kernel that the program calls.
const FUNCTIONS: [&str; 2] = ["bpf_dynptr_from_skb", "bpf_dynptr_slice"];

/// Something that is missing, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What.
    pub what: String,
    /// What to do.
    pub remedy: &'static str,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.remedy)
    }
}

/// All that is missing; empty when the program can be loaded and attached.
#[must_use]
pub fn missing() -> Vec<Missing> {
    // Without these the later questions cannot be asked, and would answer with their own failure.
    let first: Vec<_> = [kernel_version(), permission()].into_iter().flatten().collect();
    if !first.is_empty() {
        return first;
    }
    [type_information(), compiler(), program_type(), conntrack(), nftables()].into_iter().flatten().collect()
}

/// What is missing where enforcement shall outlive the process, by pins under a folder.
#[must_use]
pub fn missing_for_pins(root: &Path) -> Option<Missing> {
    if pins::is_on_bpffs(root) {
        return None;
    }
    Some(Missing {
        what: format!("{} is not on a BPF file system", root.display()),
        remedy: "mount it: `mount -t bpf bpf /sys/fs/bpf` (for a pod: on the node, and the folder as a hostPath volume)",
    })
}

fn kernel_version() -> Option<Missing> {
    let release = read("/proc/sys/kernel/osrelease");
    let found = parse_release(&release);
    if found.is_some_and(|version| version >= OLDEST_KERNEL) {
        return None;
    }
    Some(Missing {
        what: format!("Linux {release} is too old"),
        remedy: "BPF programs at netfilter hooks came with Linux 6.4; boot this node with a newer kernel",
    })
}

fn permission() -> Option<Missing> {
    let options = bpf_map_create_opts {
        sz: size_of::<bpf_map_create_opts>().try_into().unwrap_or(0),
        map_flags: BPF_F_NO_PREALLOC,
        ..Default::default()
    };
    let error = MapHandle::create(MapType::LpmTrie, Some("rf_probe"), 8, 8, 1, &options).err()?;
    Some(Missing {
        what: format!("the bpf() system call is refused ({error})"),
        remedy: "run as root, or with the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (in a container also \
                 with a seccomp profile that allows bpf; in Kubernetes: privileged: true)",
    })
}

fn type_information() -> Option<Missing> {
    let remedy = "the kernel must be built with CONFIG_DEBUG_INFO_BTF=y, as those of Debian, Ubuntu, Fedora, RHEL \
                  and Flatcar are; in a container /sys must be mounted";
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Some(Missing { what: "the kernel has no type information (BTF)".into(), remedy });
    }
    let btf = match Btf::from_vmlinux() {
        Ok(btf) => btf,
        Err(error) => {
            return Some(Missing {
                what: format!("the kernel's type information cannot be read ({error})"),
                remedy,
            });
        }
    };
    let function = FUNCTIONS.into_iter().find(|name| btf.type_by_name::<Func<'_>>(name).is_none())?;
    Some(Missing {
        what: format!("the kernel has no function {function}"),
        remedy: "boot this node with Linux 6.4 or newer, built with CONFIG_NET and CONFIG_BPF_SYSCALL",
    })
}

fn compiler() -> Option<Missing> {
    // Kernels built with CONFIG_BPF_JIT_ALWAYS_ON have the file too, with 1 in it.
    if read("/proc/sys/net/core/bpf_jit_enable") != "0" {
        return None;
    }
    Some(Missing {
        what: "the kernel's BPF compiler is off".into(),
        remedy: "calls of kernel functions need it: `sysctl net.core.bpf_jit_enable=1`",
    })
}

fn program_type() -> Option<Missing> {
    let what = match ProgramType::Netfilter.is_supported() {
        Ok(true) => return None,
        Ok(false) => "the kernel has no BPF programs of type netfilter".to_owned(),
        Err(error) => {
            format!("the kernel does not say whether it has BPF programs of type netfilter ({error})")
        }
    };
    Some(Missing { what, remedy: "it must be built with CONFIG_NETFILTER_BPF_LINK=y and CONFIG_BPF_JIT=y" })
}

fn conntrack() -> Option<Missing> {
    if Path::new("/proc/sys/net/netfilter/nf_conntrack_max").exists() {
        return None;
    }
    Some(Missing {
        what: "the kernel does not track connections".into(),
        remedy: "load the module: `modprobe nf_conntrack` (and name it in /etc/modules-load.d/ringfence.conf)",
    })
}

fn nftables() -> Option<Missing> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join("nft").is_file()) {
        return None;
    }
    Some(Missing {
        what: "the program `nft` is not installed".into(),
        remedy: "install nftables (Debian, Ubuntu: `apt install nftables`; Fedora: `dnf install nftables`)",
    })
}

fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Empty when there is no such file: then the question is left to the load itself.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_version() {
        let check = |release, expected| assert_eq!(parse_release(release), expected, "{release}");
        check("6.18.44-fc-v595", Some((6, 18)));
        check("6.4.0", Some((6, 4)));
        check("5.15.0-91-generic", Some((5, 15)));
        check("6.12-rc3", Some((6, 12)));
        check("", None);
        check("six", None);
    }
}
