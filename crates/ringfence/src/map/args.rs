//! What can be typed after `map` beyond the input: which part of the map, and in which format.

use clap::{Args, ValueEnum};

/// Which part of the map is shown, or what else is asked of it.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Selection")]
pub(crate) struct SelectArgs {
    /// Show a workload or a namespace and its direct neighbours; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) focus: Vec<String>,

    /// Show what these may reach: a workload, a namespace, an address, or external; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) from: Vec<String>,

    /// Show who may reach these, named as in --from; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) to: Vec<String>,

    /// Show what can be reached from here step by step: from what it may reach, and on from there (blast radius)
    #[arg(long, value_name = "NAME", group = "question", conflicts_with_all = ["focus", "from", "to"])]
    pub(crate) reachable_from: Option<String>,

    /// With --reachable-from, stop after so many steps
    #[arg(long, value_name = "N", requires = "reachable_from", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) hops: Option<u32>,

    /// Show the workloads that no policy isolates in a direction
    #[arg(long, group = "question", conflicts_with_all = ["focus", "from", "to"])]
    pub(crate) unprotected: bool,

    /// Show what can be reached from outside the cluster, and by which way
    #[arg(long, group = "question", conflicts_with_all = ["focus", "from", "to"])]
    pub(crate) exposed: bool,

    /// Draw what is denied too, dashed: inside one namespace, and from and to outside (mermaid, dot, svg)
    #[arg(long, conflicts_with = "question")]
    pub(crate) denied: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MapFormat {
    /// For people
    Table,
    /// For programs
    Json,
    /// For spreadsheets
    Csv,
    /// Tables for a wiki or a pull request
    #[value(alias = "md")]
    Markdown,
    /// A diagram that code hosts draw
    Mermaid,
    /// A diagram for Graphviz
    #[value(alias = "graphviz")]
    Dot,
    /// A picture
    Svg,
    /// The firewall table: source, destination, service, action, and the rules that say so
    Rules,
    /// The firewall table for spreadsheets
    RulesCsv,
}

impl MapFormat {
    /// Whether it is a diagram.
    pub(crate) fn is_drawn(self) -> bool {
        matches!(self, MapFormat::Mermaid | MapFormat::Dot | MapFormat::Svg)
    }

    /// As it is typed.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            MapFormat::Table => "table",
            MapFormat::Json => "json",
            MapFormat::Csv => "csv",
            MapFormat::Markdown => "markdown",
            MapFormat::Mermaid => "mermaid",
            MapFormat::Dot => "dot",
            MapFormat::Svg => "svg",
            MapFormat::Rules => "rules",
            MapFormat::RulesCsv => "rules-csv",
        }
    }
}
