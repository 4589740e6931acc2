//! What a connection leads to, as typed: `TO[:PORT[/PROTO]]`. Names are looked up elsewhere.

use std::net::{IpAddr, Ipv6Addr};

use ringfence_policy::Protocol;

use crate::complaint::Complaint;

/// A destination and, if one was given, a port.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The destination, as an end is typed.
    pub(crate) end: String,
    /// What is sent to it.
    pub(crate) port: Option<Port>,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Port {
    /// To a port by number.
    Number(u16, Option<Protocol>),
    /// To a port by name.
    Name(String, Option<Protocol>),
    /// Ping and the like.
    Icmp,
}

/// Reads a destination.
pub(crate) fn parse(text: &str) -> Result<Target, Complaint> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok(Target { end: text.to_owned(), port: None });
    }
    let (end, port) = if let Some(rest) = text.strip_prefix('[') {
        let broken = || {
            Complaint::new(format!("`{text}` is not an IPv6 address with a port"))
                .help("write it as [2001:db8::1]:443")
        };
        let (address, rest) = rest.split_once(']').ok_or_else(broken)?;
        address.parse::<Ipv6Addr>().map_err(|_| broken())?;
        match rest {
            "" => (address, None),
            _ => (address, Some(rest.strip_prefix(':').ok_or_else(broken)?)),
        }
    } else {
        match text.split_once(':') {
            Some((_, rest)) if rest.contains(':') => {
                return Err(Complaint::new(format!("`{text}` has more than one colon"))
                    .help("write NAME:PORT or NAME:PORT/PROTO")
                    .help("an IPv6 address with a port goes in brackets: [2001:db8::1]:443"));
            }
            Some((end, port)) => (end, Some(port)),
            None => (text, None),
        }
    };
    if end.is_empty() {
        return Err(Complaint::new(format!("`{text}` does not say where the connection leads"))
            .help("write NAMESPACE/NAME:PORT, such as shop/db:5432"));
    }
    let port = port.map(|p| parse_port(p, text)).transpose()?;
    Ok(Target { end: end.to_owned(), port })
}

fn parse_port(text: &str, whole: &str) -> Result<Port, Complaint> {
    let (port, protocol) = match text.split_once('/') {
        Some((port, protocol)) => (port, Some(protocol)),
        None => (text, None),
    };
    let is_icmp = |word: &str| ["icmp", "icmpv6"].contains(&word.to_ascii_lowercase().as_str());
    if (protocol.is_none() && is_icmp(port)) || (port.is_empty() && protocol.is_some_and(is_icmp)) {
        return Ok(Port::Icmp);
    }
    let protocol = match protocol.map(|p| (p, p.to_ascii_lowercase())) {
        None => None,
        Some((_, p)) if p == "tcp" => Some(Protocol::Tcp),
        Some((_, p)) if p == "udp" => Some(Protocol::Udp),
        Some((_, p)) if p == "sctp" => Some(Protocol::Sctp),
        Some((typed, _)) if is_icmp(typed) => {
            return Err(
                Complaint::new(format!("`{whole}`: ICMP has no ports")).help("leave the port out: NAME:icmp")
            );
        }
        Some((typed, _)) => {
            return Err(Complaint::new(format!("`{typed}` is not a protocol that policies know"))
                .help("use tcp, udp, sctp or icmp"));
        }
    };
    if port.is_empty() {
        return Err(Complaint::new(format!("`{whole}` has no port after the colon")).help(
            "write a number or the name of a container port, or leave the colon out to see all ports",
        ));
    }
    if port.bytes().all(|b| b.is_ascii_digit()) {
        return match port.parse::<u16>() {
            Ok(number) if number > 0 => Ok(Port::Number(number, protocol)),
            _ => Err(Complaint::new(format!("`{port}` is not a port")).help("ports go from 1 to 65535")),
        };
    }
    // https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#ports (IANA_SVC_NAME)
    let is_name = port.len() <= 63
        && port.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && port.bytes().any(|b| b.is_ascii_alphabetic());
    if !is_name {
        return Err(Complaint::new(format!("`{port}` is neither a port number nor a port's name"))
            .help("ask for one port, or leave it out to see all that may pass"));
    }
    Ok(Port::Name(port.to_owned(), protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, end: &str, port: Option<Port>) {
        assert_eq!(parse(text).unwrap(), Target { end: end.to_owned(), port }, "{text}");
    }

    fn refuse(text: &str, message: &str) {
        assert_eq!(parse(text).unwrap_err().to_string(), message, "{text}");
    }

    #[test]
    fn ends_with_and_without_ports() {
        let number = |n| Some(Port::Number(n, None));
        check("shop/db", "shop/db", None);
        check("shop/db:5432", "shop/db", number(5432));
        check("db:5432/UDP", "db", Some(Port::Number(5432, Some(Protocol::Udp))));
        check("db:dns/tcp", "db", Some(Port::Name("dns".to_owned(), Some(Protocol::Tcp))));
        check("db:icmp", "db", Some(Port::Icmp));
        check("db:/ICMP", "db", Some(Port::Icmp));
        check("10.0.0.7", "10.0.0.7", None);
        check("10.0.0.7:443/sctp", "10.0.0.7", Some(Port::Number(443, Some(Protocol::Sctp))));
        check("2001:db8::1", "2001:db8::1", None);
        check("[2001:db8::1]", "2001:db8::1", None);
        check("[2001:db8::1]:443", "2001:db8::1", number(443));
    }

    #[test]
    fn what_is_no_destination() {
        refuse("db:", "`db:` has no port after the colon");
        refuse("db:/tcp", "`db:/tcp` has no port after the colon");
        refuse(":80", "`:80` does not say where the connection leads");
        refuse("db:0", "`0` is not a port");
        refuse("db:65536", "`65536` is not a port");
        refuse("db:80/icmp", "`db:80/icmp`: ICMP has no ports");
        refuse("db:80/http", "`http` is not a protocol that policies know");
        refuse("db:80,81", "`80,81` is neither a port number nor a port's name");
        refuse("a:b:c", "`a:b:c` has more than one colon");
        refuse("[10.0.0.7]:80", "`[10.0.0.7]:80` is not an IPv6 address with a port");
        refuse("[::1]80", "`[::1]80` is not an IPv6 address with a port");
    }
}
