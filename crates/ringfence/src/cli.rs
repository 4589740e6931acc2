//! What can be typed: commands, arguments and their help. Nothing is read or decided here.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use ringfence_policy::{DomainPattern, ResolvedName};

use crate::map::args::{MapFormat, SelectArgs};
use crate::normalize::args::NormalizeArgs;
use crate::shell::args::{CompletionArgs, ManArgs};

/// The exit status of a question that is answered with no.
pub(crate) const DENIED: u8 = 1;
/// The exit status of a usage error, and of input that could not be read.
pub(crate) const UNREADABLE: u8 = 2;

/// Kubernetes microsegmentation you can prove
///
/// Ringfence reads Kubernetes manifests and says who may talk to whom, and why: which policy, which rule, which line.
#[derive(Debug, Parser)]
#[command(name = "ringfence", version, styles = STYLES, after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// When to use colour; NO_COLOR=1 is heeded too
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
}

impl Cli {
    /// Reads the command line. Ends the process on `--help`, `--version` and usage errors.
    ///
    /// Installed as `kubectl-ringfence`, the command calls itself what the user has typed.
    pub(crate) fn from_command_line() -> Cli {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        let mut command = Cli::command();
        let typed_as = arguments.first().and_then(|a| Path::new(a).file_stem());
        if typed_as.is_some_and(|stem| stem == "kubectl-ringfence" || stem == "kubectl-ringfence.exe") {
            command = command.bin_name("kubectl ringfence");
        }
        let matches = command.get_matches_from(arguments);
        Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Check(crate::check::CheckArgs),
    Map(MapArgs),
    Explain(ExplainArgs),
    Diff(crate::diff::args::DiffArgs),
    Verify(crate::verify::args::VerifyArgs),
    Lab(LabArgs),
    Normalize(NormalizeArgs),
    Agent(crate::agent::args::AgentArgs),
    Status(crate::agent::args::StatusArgs),
    Attest(crate::agent::args::AttestArgs),
    Completion(CompletionArgs),
    Man(ManArgs),
    /// A part of `lab` that stands between it and a command in a pod
    #[command(name = LAB_CHILD, hide = true)]
    LabChild {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

/// The hidden subcommand that `lab` runs itself with.
pub(crate) const LAB_CHILD: &str = "lab-child";

/// Show who may reach whom, and on which ports
#[derive(Debug, Args)]
#[command(after_help = MAP_EXAMPLES)]
pub(crate) struct MapArgs {
    /// Manifests: a file, a folder with all that is in it, or - for standard input. None: the cluster of the kubeconfig
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) input: InputArgs,

    /// Show all namespaces, even if -n is given
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,

    /// Show each pod by itself instead of workloads; the replicas of a manifest, which are alike, as one
    #[arg(long)]
    pub(crate) pods: bool,

    #[command(flatten)]
    pub(crate) select: SelectArgs,

    /// The format of the answer
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: MapFormat,
}

/// Explain whether a connection is allowed: who decides, and why
///
/// Exit status: 0 if it is allowed, 1 if it is denied, 2 if the question or the input could not be read.
#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_EXAMPLES)]
pub(crate) struct ExplainArgs {
    /// Where the connection starts: NAME, NAMESPACE/NAME, NAMESPACE/KIND/NAME, an address, or external
    #[arg(value_name = "FROM")]
    pub(crate) from: String,

    /// Where it leads, as FROM or a Service (svc/NAME); the port by number or name. Without a port: all that may pass
    #[arg(value_name = "TO[:PORT[/PROTO]]")]
    pub(crate) to: String,

    /// Manifests: a file, a folder with all that is in it, or - for standard input. None: the cluster of the kubeconfig
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) input: InputArgs,

    /// The format of the answer
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: ExplainFormat,
}

/// Run these manifests as a cluster in network namespaces, and enforce their policies for real
///
/// Each pod gets a network of its own with listeners on its container ports, Services are translated as kube-proxy does,
/// and the policies go into the kernel by BPF. Every pair is probed on every port and by ping, without the policies, with
/// them, and without them again; what was measured is compared with what the engine promises. Needs root. Leaves nothing
/// behind, however it ends.
///
/// Exit status: 0 if every measurement is as promised, 1 at a difference or a violated assertion, 2 if there was no lab; that
/// of COMMAND if one is given.
#[derive(Debug, Args)]
#[command(after_help = LAB_EXAMPLES)]
pub(crate) struct LabArgs {
    /// Manifests: a file, a folder with all that is in it, or - for standard input
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) input: InputArgs,

    /// How many nodes the cluster has
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=250))]
    pub(crate) nodes: u16,

    /// IPv6 beside IPv4
    #[arg(long)]
    pub(crate) dual_stack: bool,

    /// The most pods that a workload gets
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_replicas: u32,

    /// Stay, and bring the policies into the kernel again whenever a file changes
    #[arg(long, conflicts_with_all = ["command", "shell", "no_policies"])]
    pub(crate) watch: bool,

    /// Measure the assertions of a file instead, as `ringfence verify` reads them: real packets between all that they name
    #[arg(long, value_name = "FILE", conflicts_with_all = ["command", "shell", "watch", "no_policies"])]
    pub(crate) verify: Option<PathBuf>,

    /// Open a shell in a pod ([NAMESPACE/]NAME), on a node, or `outside`
    #[arg(long, value_name = "POD", conflicts_with = "command")]
    pub(crate) shell: Option<String>,

    /// Where COMMAND runs: a pod ([NAMESPACE/]NAME), a node, or `outside`
    #[arg(long = "in", value_name = "POD", default_value = "outside")]
    pub(crate) place: String,

    /// Leave the policies out of the kernel, for a look at what was before
    #[arg(long)]
    pub(crate) no_policies: bool,

    /// Print each new connection and each denial, with the rule that decided (with --watch, --shell or COMMAND)
    #[arg(long)]
    pub(crate) events: bool,

    /// The format of the answer
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: ExplainFormat,

    /// Run this in the lab instead of probing; names of pods and Services resolve, `ip netns exec NAMESPACE.POD` works
    #[arg(value_name = "COMMAND", last = true)]
    pub(crate) command: Vec<OsString>,
}

/// How the input is read, whatever is asked of it.
#[derive(Debug, Default, Args)]
pub(crate) struct InputArgs {
    /// The namespace of objects and names that do not say theirs [default: default]
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,

    /// Go on without what cannot be read, after reporting it
    #[arg(long)]
    pub(crate) skip_invalid: bool,

    /// Where no PATH is given: the kubeconfig that says where the cluster is [default: as kubectl]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Where no PATH is given: the context in the kubeconfig [default: the current one]
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,

    /// Where pods live, so that ipBlocks can match them; may be given several times
    #[arg(long = "pod-cidr", value_name = "CIDR")]
    pub(crate) pod_cidrs: Vec<IpNet>,

    /// The addresses that a DNS name leads to, so that domainNames can match them; may be given several times
    #[arg(long = "resolve", value_name = "NAME=ADDRESS,...", value_parser = resolved_name)]
    pub(crate) names: Vec<ResolvedName>,
}

fn resolved_name(text: &str) -> Result<ResolvedName, String> {
    let example = "write it as api.example.com=203.0.113.7 or api.example.com=203.0.113.7,2001:db8::7";
    let (name, addresses) = text.split_once('=').ok_or(example)?;
    if name.contains('*') || DomainPattern::parse(name).is_none() {
        return Err(format!("`{name}` is no DNS name; {example}"));
    }
    let addresses = addresses.split(',').map(|a| a.trim().parse().map_err(|_| a));
    let addresses: Result<Vec<IpAddr>, &str> = addresses.collect();
    let addresses = addresses.map_err(|bad| format!("`{bad}` is no address; {example}"))?;
    Ok(ResolvedName { name: name.to_owned(), addresses })
}

impl InputArgs {
    /// The namespace of what does not say its own.
    pub(crate) fn default_namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExplainFormat {
    /// For people
    Text,
    /// For programs
    Json,
}

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  # Who may reach whom
  ringfence map k8s/

  # May the shop's web pods open the database's port, and who says so
  ringfence explain shop/web shop/db:5432 k8s/

  # The same for rendered manifests
  helm template shop ./chart | ringfence explain web db:5432 - -n shop";

const MAP_EXAMPLES: &str = "\
Examples:
  # All namespaces of these manifests
  ringfence map k8s/

  # What reaches, and is reached from, namespace shop
  ringfence map k8s/ -n shop

  # Pod by pod, of a cluster's objects
  kubectl get namespaces,pods,networkpolicies -A -o yaml | ringfence map - --pods

  # A picture, a diagram for a README, a firewall table for an audit
  ringfence map k8s/ -o svg > map.svg
  ringfence map k8s/ -o mermaid --focus shop/db
  ringfence map k8s/ -o rules --to shop/db

  # What an intruder in web could reach, step by step; what can be reached from outside, and how
  ringfence map k8s/ --reachable-from shop/web
  ringfence map k8s/ --exposed

  # For programs
  kustomize build overlays/prod | ringfence map - -o json";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  # One connection
  ringfence explain shop/web shop/db:5432 k8s/

  # UDP, by the name of the container port
  ringfence explain shop/web kube-system/coredns:dns/udp k8s/

  # Through a Service, whose port is translated as on a cluster
  ringfence explain shop/web svc/api:80 k8s/ -n shop

  # Everything that may pass
  ringfence explain shop/web shop/db k8s/

  # From outside, from one address, and ping
  ringfence explain external shop/web:443 k8s/
  ringfence explain 192.0.2.7 shop/web:443 k8s/
  ringfence explain shop/web shop/db:icmp k8s/

  # A workload whose name is not unique
  ringfence explain shop/deployment/web shop/statefulset/db:5432 k8s/";

const LAB_EXAMPLES: &str = "\
Examples:
  # The example application, before and after its policies
  sudo ringfence lab examples/yelb

  # Its assertions, with real packets
  sudo ringfence lab examples/yelb --verify examples/yelb/assertions.yaml

  # Both address families, three nodes
  sudo ringfence lab k8s/ --dual-stack --nodes 3

  # By hand: from a pod to a Service, from outside to a pod (a Service has no address out there), in a shell
  sudo ringfence lab k8s/ --in shop/web -- curl -m 2 http://api:8080
  sudo ringfence lab k8s/ -- curl -m 2 http://web-0.shop
  sudo ringfence lab k8s/ --shell shop/web

  # Edit a policy and see it take hold
  sudo ringfence lab k8s/ --watch";
