/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What of a packet is decided by: its addresses, protocol and ports. It never guesses: what cannot be read is said
 * to be malformed, and the caller denies it where a policy would have to be asked.
 */
#pragma once

#include "kernel.h"

#define PROTOCOL_ICMP 1
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_ICMPV6 58
#define PROTOCOL_SCTP 132

#define HEADER_HOP_BY_HOP 0
#define HEADER_ROUTING 43
#define HEADER_FRAGMENT 44
#define HEADER_AUTHENTICATION 51
#define HEADER_DESTINATION 60

/* Real packets carry two or three; the bound is for the verifier, and what exceeds it is malformed. */
#define MAX_EXTENSION_HEADERS 8

enum reading {
	WHOLE, /* everything that a decision needs was read */
	LATER_FRAGMENT, /* addresses only */
	DEFECTIVE, /* addresses only */
	UNREADABLE, /* not even addresses */
};

struct packet {
	struct address source;
	struct address destination;
	unsigned long nfct; /* its connection, with the state in the low bits */
	__u32 size; /* what the socket buffer holds */
	__u16 source_port; /* host order; 0 for protocols without */
	__u16 destination_port;
	__u8 protocol;
	__u8 family; /* 4 or 6 */
	__u8 hop_limit;
	__u8 opens; /* it says itself that it begins a connection: TCP's SYN, SCTP's INIT */
	__u8 icmpv6_type; /* of whole, unfragmented ICMPv6 messages; else 0 */
};

struct ipv4_header {
	__u8 version_and_length;
	__u8 tos;
	__be16 total_length;
	__be16 id;
	__be16 fragment;
	__u8 ttl;
	__u8 protocol;
	__u16 checksum;
	__be32 source;
	__be32 destination;
};

struct ipv6_header {
	__u8 version_and_class;
	__u8 flow[3];
	__be16 payload_length;
	__u8 next;
	__u8 hop_limit;
	struct address source;
	struct address destination;
};

struct extension_header {
	__u8 next;
	__u8 length;
	__be16 fragment; /* of the fragment header */
	__u8 rest[4];
};

/* The first 16 bytes of a TCP header, which always has 20. */
struct tcp_header {
	__be16 ports[2];
	__be32 sequence;
	__be32 acknowledged;
	__u8 offset;
	__u8 flags;
	__be16 window;
};

#define TCP_SYN 0x02
#define TCP_ACK 0x10
/* The first chunk comes after the header of 12 bytes, and begins with its type. */
#define SCTP_CHUNK 12
#define SCTP_INIT 1

/* The shortest header that this protocol can have. */
static __always_inline __u32 shortest_header(__u8 family, __u8 protocol)
{
	switch (protocol) {
	case PROTOCOL_TCP:
		return 20;
	case PROTOCOL_UDP:
		return 8;
	case PROTOCOL_SCTP:
		return 12;
	case PROTOCOL_ICMP:
		return family == 4 ? 8 : 0;
	case PROTOCOL_ICMPV6:
		return family == 6 ? 8 : 0;
	}
	return 0;
}

static __always_inline enum reading read_layer4(const struct bpf_dynptr *data, struct packet *packet, __u32 offset,
						__u32 end, int fragment)
{
	struct tcp_header tcp_buffer;
	const struct tcp_header *tcp;
	__be16 buffer[2];
	const __be16 *ports;

	if (offset + shortest_header(packet->family, packet->protocol) > end)
		return DEFECTIVE;
	switch (packet->protocol) {
	case PROTOCOL_TCP:
		tcp = bpf_dynptr_slice(data, offset, &tcp_buffer, sizeof(tcp_buffer));
		if (!tcp)
			return DEFECTIVE;
		packet->source_port = bpf_ntohs(tcp->ports[0]);
		packet->destination_port = bpf_ntohs(tcp->ports[1]);
		packet->opens = (tcp->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
		return WHOLE;
	case PROTOCOL_UDP:
	case PROTOCOL_SCTP:
		ports = bpf_dynptr_slice(data, offset, buffer, sizeof(buffer));
		if (!ports)
			return DEFECTIVE;
		packet->source_port = bpf_ntohs(ports[0]);
		packet->destination_port = bpf_ntohs(ports[1]);
		if (packet->protocol == PROTOCOL_SCTP && offset + SCTP_CHUNK + sizeof(buffer) <= end) {
			const __u8 *chunk = bpf_dynptr_slice(data, offset + SCTP_CHUNK, buffer, sizeof(buffer));

			packet->opens = chunk && *chunk == SCTP_INIT;
		}
		return WHOLE;
	case PROTOCOL_ICMPV6:
		if (packet->family != 6)
			return WHOLE;
		ports = bpf_dynptr_slice(data, offset, buffer, sizeof(buffer));
		if (!ports)
			return DEFECTIVE;
		/* RFC 6980: neighbour discovery is never fragmented. */
		if (!fragment)
			packet->icmpv6_type = *(const __u8 *)ports;
		return WHOLE;
	}
	return WHOLE;
}

static __always_inline enum reading read_ipv4(const struct bpf_dynptr *data, struct packet *packet)
{
	struct ipv4_header buffer;
	const struct ipv4_header *ip = bpf_dynptr_slice(data, 0, &buffer, sizeof(buffer));
	__u32 length, end;
	__u16 fragment;

	if (!ip || ip->version_and_length >> 4 != 4)
		return UNREADABLE;
	length = (ip->version_and_length & 15) * 4;
	if (length < sizeof(*ip))
		return UNREADABLE;
	packet->source.words[2] = bpf_htonl(0xffff);
	packet->source.words[3] = ip->source;
	packet->destination.words[2] = bpf_htonl(0xffff);
	packet->destination.words[3] = ip->destination;
	packet->protocol = ip->protocol;
	packet->hop_limit = ip->ttl;

	/* Offloaded segments longer than 64 KiB say 0: iph_totlen() in include/linux/ip.h. */
	end = bpf_ntohs(ip->total_length) ?: packet->size;
	if (end < length || end > packet->size)
		return DEFECTIVE;
	fragment = bpf_ntohs(ip->fragment);
	if (fragment & 0x1fff)
		return LATER_FRAGMENT;
	return read_layer4(data, packet, length, end, fragment & 0x2000);
}

static __always_inline int is_mapped_ipv4(const struct address *address)
{
	return !address->halves[0] && address->words[2] == bpf_htonl(0xffff);
}

static __always_inline enum reading read_ipv6(const struct bpf_dynptr *data, struct packet *packet)
{
	struct ipv6_header buffer;
	const struct ipv6_header *ip = bpf_dynptr_slice(data, 0, &buffer, sizeof(buffer));
	__u32 offset = sizeof(*ip), end;
	int fragment = 0;

	if (!ip || ip->version_and_class >> 4 != 6)
		return UNREADABLE;
	/* On the wire such an address is forged, and here it would pass for the IPv4 one. */
	if (is_mapped_ipv4(&ip->source) || is_mapped_ipv4(&ip->destination))
		return UNREADABLE;
	packet->source = ip->source;
	packet->destination = ip->destination;
	packet->protocol = ip->next;
	packet->hop_limit = ip->hop_limit;

	/* Jumbograms, which offloaded segments longer than 64 KiB pass for, say 0: RFC 2675. */
	end = ip->payload_length ? sizeof(*ip) + bpf_ntohs(ip->payload_length) : packet->size;
	if (end > packet->size)
		return DEFECTIVE;

	for (int i = 0; i < MAX_EXTENSION_HEADERS; i++) {
		struct extension_header extension_buffer;
		const struct extension_header *extension;
		__u32 length;

		switch (packet->protocol) {
		case HEADER_HOP_BY_HOP:
		case HEADER_ROUTING:
		case HEADER_FRAGMENT:
		case HEADER_AUTHENTICATION:
		case HEADER_DESTINATION:
			break;
		default:
			return read_layer4(data, packet, offset, end, fragment);
		}
		extension = bpf_dynptr_slice(data, offset, &extension_buffer, sizeof(extension_buffer));
		if (!extension || offset + sizeof(*extension) > end)
			return DEFECTIVE;
		length = (extension->length + 1) * 8;
		if (packet->protocol == HEADER_AUTHENTICATION)
			length = (extension->length + 2) * 4;
		if (packet->protocol == HEADER_FRAGMENT) {
			length = sizeof(*extension);
			fragment = 1;
		}
		offset += length;
		if (offset > end)
			return DEFECTIVE;
		if (packet->protocol == HEADER_FRAGMENT && bpf_ntohs(extension->fragment) & 0xfff8) {
			packet->protocol = extension->next;
			return LATER_FRAGMENT;
		}
		packet->protocol = extension->next;
	}
	return DEFECTIVE;
}

/* Expects a packet of zeros. */
static __always_inline enum reading read_packet(struct sk_buff *skb, __u8 pf, struct packet *packet)
{
	struct bpf_dynptr data;

	packet->nfct = skb->_nfct;
	packet->size = skb->len;
	packet->family = pf == NFPROTO_IPV4 ? 4 : 6;
	if (bpf_dynptr_from_skb((struct __sk_buff *)skb, 0, &data))
		return UNREADABLE;
	return pf == NFPROTO_IPV4 ? read_ipv4(&data, packet) : read_ipv6(&data, packet);
}
