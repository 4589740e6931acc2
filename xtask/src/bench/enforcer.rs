//! What stands in the way of traffic on a lab's nodes, changed while the traffic goes on: nothing, Ringfence, or plain
//! nftables rules that say the same.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use ringfence_datapath::{Image, Kernel, NodeView, Options, Planner};
use ringfence_lab::{Lab, NodeId};
use ringfence_policy::Engine;

use crate::bench::scenario::NFT_TABLE;

/// What enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// Nobody; connections are tracked all the same.
    Nothing,
    /// The BPF program, on every node.
    Ringfence,
    /// Rules, on the server's node.
    Nftables,
}

/// Puts the one or the other in place.
#[derive(Debug)]
pub(crate) struct Enforcer<'lab> {
    lab: &'lab Lab,
    /// The program of each node, with its tables.
    kernels: Vec<Kernel>,
    /// The rules.
    nft: String,
    /// Where they go.
    nft_node: NodeId,
    now: Variant,
}

impl<'lab> Enforcer<'lab> {
    /// Loads the program with the engine's tables for every node, and attaches it nowhere yet.
    pub(crate) fn new(
        lab: &'lab Lab,
        engine: &Engine,
        nft: String,
        nft_node: NodeId,
    ) -> anyhow::Result<Self> {
        let mut kernels = Vec::new();
        for (place, node) in lab.plan().nodes.iter().enumerate() {
            let view = NodeView {
                name: node.name.clone(),
                pod_ranges: lab.plan().pod_ranges(NodeId(place)),
                ..NodeView::default()
            };
            let image = Image::new(engine, &view);
            let mut kernel = Kernel::load(&Options::default()).context("the BPF program cannot be loaded")?;
            kernel.apply(&Planner::new().plan(&image)?)?;
            kernels.push(kernel);
        }
        Ok(Self { lab, kernels, nft, nft_node, now: Variant::Nothing })
    }

    /// Where.
    pub(crate) fn lab(&self) -> &'lab Lab {
        self.lab
    }

    /// Puts this one in place, and nothing else.
    pub(crate) fn switch(&mut self, to: Variant) -> anyhow::Result<()> {
        if self.now == to {
            return Ok(());
        }
        match self.now {
            Variant::Nothing => {}
            Variant::Ringfence => self.kernels.iter_mut().for_each(Kernel::detach),
            Variant::Nftables => self.nft(&format!("delete table inet {NFT_TABLE}\n"))?,
        }
        self.now = Variant::Nothing;
        match to {
            Variant::Nothing => {}
            Variant::Ringfence => {
                for (place, kernel) in self.kernels.iter_mut().enumerate() {
                    self.lab.in_node(NodeId(place), || kernel.attach())??;
                }
            }
            Variant::Nftables => self.nft(&self.nft)?,
        }
        self.now = to;
        Ok(())
    }

    /// The connections that the program has allowed on the server's node: proof that it is asked.
    pub(crate) fn allowed(&self) -> anyhow::Result<u64> {
        let kernel = self.kernels.get(self.nft_node.0).context("the server's node has no program")?;
        Ok(kernel.counters()?.allowed)
    }

    fn nft(&self, input: &str) -> anyhow::Result<()> {
        self.lab.in_node(self.nft_node, || {
            let mut child = Command::new("nft")
                .args(["-f", "-"])
                .stdin(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .context("cannot run `nft`: install nftables")?;
            // Where nft refuses it stops reading; what it says is worth more than the broken pipe.
            let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
            let output = child.wait_with_output()?;
            ensure!(output.status.success(), "`nft` refused: {}", String::from_utf8_lossy(&output.stderr));
            Ok(written?)
        })?
    }
}
