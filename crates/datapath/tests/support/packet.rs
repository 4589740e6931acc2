//! Packets, byte by byte, beginning with the IP header. Checksums are left out: nothing here looks at them.

use std::net::IpAddr;

#[derive(Clone)]
pub(crate) struct Packet {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    /// After the IP header and its extensions.
    pub(crate) payload: Vec<u8>,
    /// IPv4 options; padded to words.
    pub(crate) options: Vec<u8>,
    /// IPv6 extension headers in their order: number, and all bytes but the first.
    pub(crate) extensions: Vec<(u8, Vec<u8>)>,
    pub(crate) hop_limit: u8,
    /// IPv4 flags and fragment offset.
    pub(crate) fragment: u16,
}

pub(crate) const MORE_FRAGMENTS: u16 = 0x2000;

impl Packet {
    pub(crate) fn new(source: &str, destination: &str, protocol: u8, payload: Vec<u8>) -> Self {
        Self {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            protocol,
            payload,
            options: Vec::new(),
            extensions: Vec::new(),
            hop_limit: 64,
            fragment: 0,
        }
    }

    pub(crate) fn tcp(source: &str, destination: &str, port: u16) -> Self {
        let mut header = ports(port);
        header.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
        Self::new(source, destination, 6, header)
    }

    pub(crate) fn udp(source: &str, destination: &str, port: u16) -> Self {
        let mut header = ports(port);
        header.extend([0, 12, 0, 0, 1, 2, 3, 4]);
        Self::new(source, destination, 17, header)
    }

    pub(crate) fn sctp(source: &str, destination: &str, port: u16) -> Self {
        let mut header = ports(port);
        header.extend([0; 8]);
        header.extend([1, 0, 0, 20, 0, 0, 0, 1, 0, 0, 255, 255, 0, 1, 0, 1, 0, 0, 0, 1]);
        Self::new(source, destination, 132, header)
    }

    /// An echo request of either family.
    pub(crate) fn ping(source: &str, destination: &str) -> Self {
        let v6 = destination.contains(':');
        let kind = if v6 { 128 } else { 8 };
        Self::new(source, destination, if v6 { 58 } else { 1 }, vec![kind, 0, 0, 0, 0, 7, 0, 1, b'h', b'i'])
    }

    pub(crate) fn icmpv6(source: &str, destination: &str, kind: u8, hop_limit: u8) -> Self {
        let mut packet = Self::new(source, destination, 58, vec![0; 24]);
        packet.payload[0] = kind;
        packet.hop_limit = hop_limit;
        packet
    }

    pub(crate) fn with_options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    pub(crate) fn with_fragment(mut self, fragment: u16) -> Self {
        self.fragment = fragment;
        self
    }

    pub(crate) fn with_extension(mut self, number: u8, rest: &[u8]) -> Self {
        self.extensions.push((number, rest.to_vec()));
        self
    }

    /// A hop-by-hop (0), routing (43) or destination options (60) header of so many times 8 bytes.
    pub(crate) fn with_padding_extension(self, number: u8, eights: u8) -> Self {
        let mut rest = vec![0; usize::from(eights) * 8 - 1];
        rest[0] = eights - 1;
        self.with_extension(number, &rest)
    }

    /// Fragment header; the offset counts in 8 bytes.
    pub(crate) fn with_fragment_extension(self, offset: u16, more: bool) -> Self {
        let [high, low] = ((offset << 3) | u16::from(more)).to_be_bytes();
        self.with_extension(44, &[0, high, low, 0, 0, 0, 9])
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let mut options = self.options.clone();
                options.resize(options.len().div_ceil(4) * 4, 0);
                let words = u8::try_from(5 + options.len() / 4).unwrap();
                let total = u16::try_from(usize::from(words) * 4 + self.payload.len()).unwrap();
                let mut bytes = vec![0x40 | words, 0];
                bytes.extend(total.to_be_bytes());
                bytes.extend([0, 9]);
                bytes.extend(self.fragment.to_be_bytes());
                bytes.extend([self.hop_limit, self.protocol, 0, 0]);
                bytes.extend(source.octets());
                bytes.extend(destination.octets());
                bytes.extend(options);
                bytes.extend(&self.payload);
                bytes
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut rest = Vec::new();
                for (at, (_, extension)) in self.extensions.iter().enumerate() {
                    rest.push(self.extensions.get(at + 1).map_or(self.protocol, |next| next.0));
                    rest.extend(extension);
                }
                rest.extend(&self.payload);
                let first = self.extensions.first().map_or(self.protocol, |first| first.0);
                let mut bytes = vec![0x60, 0, 0, 0];
                bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
                bytes.extend([first, self.hop_limit]);
                bytes.extend(source.octets());
                bytes.extend(destination.octets());
                bytes.extend(rest);
                bytes
            }
            _ => panic!("two families in one packet"),
        }
    }
}

fn ports(destination: u16) -> Vec<u8> {
    let mut bytes = 40_000u16.to_be_bytes().to_vec();
    bytes.extend(destination.to_be_bytes());
    bytes
}
