//! SCTP without SCTP: the INIT that opens an association, written and read by hand.
//!
//! Most kernels have no SCTP sockets, and policies hold for it all the same. So a probe sends a well-formed INIT from
//! a raw socket, and a raw socket at the other end reports that it arrived; the initiate tag tells which it was.
//! <https://www.rfc-editor.org/rfc/rfc9260#section-3.3.2>

/// The common header and the INIT chunk without parameters.
const LENGTH: usize = 32;

const INIT: u8 = 1;

/// An INIT with this tag, which must not be 0.
pub(crate) fn init(source: u16, destination: u16, tag: u32) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    let fields: [&[u8]; 9] = [
        &source.to_be_bytes(),
        &destination.to_be_bytes(),
        &[0; 4],                  // verification tag: 0 in an INIT
        &[0; 4],                  // checksum, below
        &[INIT, 0, 0, 20],        // chunk type, flags, length
        &tag.to_be_bytes(),       // initiate tag
        &65_536u32.to_be_bytes(), // receiver window
        &[0, 1, 0, 1],            // outbound and inbound streams
        &tag.to_be_bytes(),       // initial sequence number
    ];
    fill(&mut packet, fields.into_iter().flatten());
    // The one number in network headers that is sent in little-endian order.
    let checksum = crc32c(&packet).to_le_bytes();
    fill(packet.get_mut(8..12).unwrap_or_default(), checksum.iter());
    packet
}

/// The tag of an INIT that was received with or without an IPv4 header before it, or `None` if it is anything else.
pub(crate) fn tag_of(packet: &[u8], ipv4_header: bool) -> Option<u32> {
    let skip = if ipv4_header { usize::from(packet.first()? & 0xf) * 4 } else { 0 };
    let sctp = packet.get(skip..)?;
    if *sctp.get(12)? != INIT {
        return None;
    }
    sctp.get(16..20)?.try_into().ok().map(u32::from_be_bytes)
}

fn fill<'a>(to: &mut [u8], from: impl Iterator<Item = &'a u8>) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_that_of_the_standard() {
        // https://www.rfc-editor.org/rfc/rfc3720#appendix-B.4
        assert_eq!(crc32c(&[0; 32]).to_le_bytes(), [0xaa, 0x36, 0x91, 0x8a]);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_tag_comes_back() {
        let packet = init(1000, 2000, 0xdead_beef);
        assert_eq!(tag_of(&packet, false), Some(0xdead_beef));
        let mut with_header = vec![0x45; 20];
        with_header.extend(packet);
        assert_eq!(tag_of(&with_header, true), Some(0xdead_beef));
        assert_eq!(tag_of(&packet[..10], false), None);
    }
}
