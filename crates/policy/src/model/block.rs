//! Ranges of addresses with exceptions.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// An `ipBlock`: the addresses of a range, less some ranges inside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpBlock {
    cidr: IpNet,
    except: Vec<IpNet>,
}

impl IpBlock {
    /// A block. Host bits are masked; exceptions are sorted, and those outside the block have no effect.
    pub fn new(cidr: IpNet, except: impl IntoIterator<Item = IpNet>) -> IpBlock {
        let cidr = cidr.trunc();
        let except: BTreeSet<IpNet> = except
            .into_iter()
            .map(|e| if e.contains(&cidr) { cidr } else { e.trunc() })
            .filter(|e| cidr.contains(e))
            .collect();
        IpBlock { cidr, except: except.into_iter().collect() }
    }

    /// The range.
    pub fn cidr(&self) -> IpNet {
        self.cidr
    }

    /// What is taken out of it.
    pub fn except(&self) -> &[IpNet] {
        &self.except
    }

    /// Whether the block holds this address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.cidr.contains(&address) && !self.except.iter().any(|e| e.contains(&address))
    }

    /// Whether the block holds every address of a range.
    pub fn covers(&self, range: IpNet) -> bool {
        self.cidr.contains(&range) && !self.except.iter().any(|e| e.contains(&range) || range.contains(e))
    }

    /// Whether the block is a whole address family without exception: everybody.
    pub fn is_everyone(&self) -> bool {
        self.cidr.prefix_len() == 0 && self.except.is_empty()
    }
}

impl fmt::Display for IpBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cidr)?;
        for (i, e) in self.except.iter().enumerate() {
            write!(f, "{}{e}", if i == 0 { " except " } else { ", " })?;
        }
        Ok(())
    }
}
