//! `ipBlock`: addresses, read strictly.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use ringfence_policy::IpBlock;

use super::context::{Context, Reported, all, field};
use crate::node::Node;

impl Context<'_> {
    pub(crate) fn ip_block(&mut self, node: &Node) -> Result<IpBlock, Reported> {
        let entries = self.mapping(node, "ipBlock")?;
        let known = self.known_fields(entries, &["cidr", "except"], "`ipBlock`");
        let cidr = match field(entries, "cidr") {
            Some(node) => self.cidr(node, "cidr"),
            None => Err(self.error("missing-field", node.span, "`ipBlock` without `cidr`", None)),
        };
        let except = match field(entries, "except") {
            Some(node) => match self.sequence(node, "except") {
                Ok(items) => all(items.iter().map(|item| Ok((self.cidr(item, "except")?, item)))),
                Err(reported) => Err(reported),
            },
            None => Ok(Vec::new()),
        };
        known?;
        let (cidr, except) = (cidr?, except?);
        let except = all(except.into_iter().map(|(except, item)| {
            if cidr.contains(&except) && cidr != except {
                return Ok(except);
            }
            let message = format!("exception {except} is not inside {cidr}");
            let help = if except == cidr { "the block would be empty" } else { "the server refuses it" };
            Err(self.error("invalid-except", item.span, message, Some(help.to_owned())))
        }))?;
        Ok(IpBlock::new(cidr, except))
    }

    /// A range with its prefix length. Host bits are masked, and reported.
    pub(crate) fn cidr(&mut self, node: &Node, name: &str) -> Result<IpNet, Reported> {
        let text = self.string(node, name)?;
        let (net, masked) = match parse(text) {
            Ok(net) => (net, net.trunc()),
            Err((why, help)) => {
                return Err(self.error(
                    "invalid-cidr",
                    node.span,
                    format!("`{text}` is no address range: {why}"),
                    help,
                ));
            }
        };
        if net != masked {
            let message = format!("`{text}` means {masked}: the address has bits beyond the prefix");
            self.warn("host-bits", node.span, message, Some(format!("write {masked}")));
        }
        Ok(masked)
    }
}

fn parse(text: &str) -> Result<IpNet, (&'static str, Option<String>)> {
    let Some((address, prefix)) = text.split_once('/') else {
        return Err(match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => {
                ("the prefix length is missing", Some(format!("for this one address, write {text}/32")))
            }
            Ok(IpAddr::V6(_)) => {
                ("the prefix length is missing", Some(format!("for this one address, write {text}/128")))
            }
            Err(_) if text.contains(|c: char| c.is_ascii_alphabetic()) && text.contains('.') => {
                ("it is a name", Some("only addresses are known here, not DNS names".to_owned()))
            }
            Err(_) => ("it is no address with a prefix length", None),
        });
    };
    let address = match (address.parse::<Ipv4Addr>(), address.parse::<Ipv6Addr>()) {
        (Ok(v4), _) => IpAddr::V4(v4),
        (_, Ok(v6)) => IpAddr::V6(v6),
        _ => return Err(("it is no IPv4 or IPv6 address", None)),
    };
    if let IpAddr::V6(v6) = address
        && let Some(v4) = v6.to_ipv4_mapped()
    {
        return Err(("it is an IPv4 address written as IPv6", Some(format!("write it as {v4}"))));
    }
    let digits = !prefix.is_empty() && prefix.len() <= 3 && prefix.bytes().all(|b| b.is_ascii_digit());
    let canonical = digits && (prefix == "0" || !prefix.starts_with('0'));
    if !canonical {
        return Err(("what follows the slash is no prefix length", None));
    }
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let refuse = || ("the prefix is too long", Some(format!("at most /{longest}")));
    let length: u8 = prefix.parse().map_err(|_| refuse())?;
    IpNet::new(address, length).map_err(|_| refuse())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_strictly() {
        for good in ["10.0.0.0/8", "0.0.0.0/0", "::/0", "2001:db8::/32", "10.1.2.3/32", "10.1.2.3/8"] {
            assert_eq!(parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "/",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0.0/8/8",
            "010.0.0.0/8",
            "10.0.0/8",
            "::1",
            "::/129",
            "::/999",
            "::ffff:10.0.0.0/104",
            "fe80::1%eth0/64",
            " 10.0.0.0/8",
            "10.0.0.0/8 ",
            "example.com",
            "10.0.0.0-10.0.0.9",
            "10.0.0.0/255.0.0.0",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
