// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Decides whether a new connection may be: at FORWARD, LOCAL_IN and LOCAL_OUT, for IPv4 and IPv6, after
 * destination NAT and before source NAT, so that both addresses are the pods' own. It only looks up what the
 * tables say. `Lookup` in the Rust half reads the same, and a test holds the two together.
 *
 * What cannot be read, and what has no row, is denied where an isolated endpoint is concerned.
 */
#include "packet.h"
#include "report.h"
#include "tables.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Known to conntrack, and not its connection's first packet. */
static __always_inline int is_established(unsigned long nfct)
{
	const __u32 established = 1 << NFCT_ESTABLISHED | 1 << NFCT_RELATED | 1 << NFCT_ESTABLISHED_REPLY |
				  1 << NFCT_RELATED_REPLY;

	/* Without a connection the low bits are 0 too. */
	return (nfct & ~NFCT_INFO_MASK) && (established >> (nfct & NFCT_INFO_MASK)) & 1;
}

/*
 * Neighbour discovery and multicast listener discovery, without which IPv6 does not work. Their hop limit shows
 * that no router stands between: RFC 4861 (255), RFC 2710 and RFC 3810 (1).
 */
static __always_inline int is_link_housekeeping(const struct packet *packet)
{
	switch (packet->icmpv6_type) {
	case 133 ... 137:
		return packet->hop_limit == 255;
	case 130 ... 132:
	case 143:
		return packet->hop_limit == 1;
	}
	return 0;
}

static __always_inline int is_same(const struct address *one, const struct address *other)
{
	return one->halves[0] == other->halves[0] && one->halves[1] == other->halves[1];
}

static __always_inline struct prefix whole_prefix(const struct address *address)
{
	struct prefix prefix = {
		.len = 128,
		.words = { address->words[0], address->words[1], address->words[2], address->words[3] },
	};

	return prefix;
}

/* In a range of this node's pods. Asked for addresses that no local endpoint has. */
static __always_inline int is_in_pod_range(const struct address *address)
{
	struct prefix prefix = whole_prefix(address);
	__u32 *flags = bpf_map_lookup_elem(&ranges, &prefix);

	return flags && *flags & RANGE_PODS;
}

/* The port map between a policy set and an identity; identity 0 stands for those without a row. */
static __always_inline __u64 *look_up_rule(__u64 set, __u64 identity)
{
	struct rule_key key = { .set = set, .identity = identity };
	__u64 *portmap = bpf_map_lookup_elem(&rules, &key);

	if (portmap || !identity)
		return portmap;
	key.identity = 0;
	return bpf_map_lookup_elem(&rules, &key);
}

static __always_inline void deny(struct side *side, __u8 reason)
{
	side->verdict = 0;
	side->reason = reason;
}

/* What an isolated endpoint's word says of a connection with `other`, whose row is `other_row`, if it has one. */
static __always_inline void decide(struct side *side, __u64 word, const struct address *other,
				   const struct address_value *other_row, const struct packet *packet,
				   enum reading reading)
{
	__u64 set = word & ~WORD_RESERVED, slot = word >> 1 & 1, identity = 0, *portmap;
	struct portmap_key key = { .len = PORTMAP_KEY_BITS };
	struct portmap_value *entry;
	struct identities *identities;

	if (reading != WHOLE)
		return deny(side, reading == LATER_FRAGMENT ? FRAGMENT : MALFORMED);

	/*
	 * The word was read first, and the identity's place is computed from it: no CPU reads the identity before
	 * the word, so that a slot is read only after it was written.
	 */
	HIDE(slot);
	slot &= 1;
	if (other_row) {
		identities = bpf_map_lookup_elem(&peers, &other_row->peer);
		if (!identities)
			return deny(side, MISSING_ROW);
		identity = READ_ONCE(identities->slot[slot]);
	} else {
		struct prefix prefix = whole_prefix(other);

		identities = bpf_map_lookup_elem(&cidrs, &prefix);
		if (identities)
			identity = READ_ONCE(identities->slot[slot]);
	}

	portmap = look_up_rule(set, identity);
	if (!portmap)
		return deny(side, MISSING_ROW);

	__builtin_memcpy(key.portmap, portmap, sizeof(key.portmap));
	key.protocol = packet->protocol;
	key.port[0] = packet->destination_port >> 8;
	key.port[1] = packet->destination_port & 0xff;
	entry = bpf_map_lookup_elem(&portmaps, &key);
	if (!entry)
		return deny(side, MISSING_ROW);
	side->verdict = entry->verdict == 1;
	side->rule = entry->rule;
	side->reason = entry->rule ? RULE : DEFAULT;
}

/* Says what becomes of the packet on the side of a local endpoint. */
static __always_inline void decide_side(struct side *side, const struct address_value *own,
					const struct address *other, const struct address_value *other_row,
					const struct packet *packet, enum reading reading)
{
	struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &own->endpoint);
	__u64 word;

	side->endpoint = own->endpoint;
	if (!endpoint)
		return deny(side, MISSING_ROW);
	word = side->direction == EGRESS ? READ_ONCE(endpoint->egress) : READ_ONCE(endpoint->ingress);
	if (!(word & WORD_ISOLATED)) {
		side->verdict = 1;
		side->reason = OPEN;
		return;
	}
	decide(side, word, other, other_row, packet, reading);
}

static __always_inline int drop(const struct packet *packet, const struct side *side)
{
	count_denial(side->reason);
	report(packet, side, 0);
	return NF_DROP;
}

SEC("netfilter")
int ringfence(struct bpf_nf_ctx *ctx)
{
	struct sk_buff *skb = ctx->skb;
	const struct address_value *source, *destination;
	struct packet packet = {};
	struct side egress = { .direction = EGRESS }, ingress = { .direction = INGRESS };
	enum reading reading;
	__u8 hook;

	if (is_established(skb->_nfct))
		return NF_ACCEPT;

	hook = ctx->state->hook;
	egress.hook = ingress.hook = hook;
	reading = read_packet(skb, ctx->state->pf, &packet);
	if (reading == UNREADABLE) {
		egress.direction = NO_DIRECTION;
		egress.reason = MALFORMED;
		return drop(&packet, &egress);
	}
	if (reading == WHOLE && is_link_housekeeping(&packet))
		return NF_ACCEPT;

	source = bpf_map_lookup_elem(&addresses, &packet.source);
	destination = bpf_map_lookup_elem(&addresses, &packet.destination);

	/* A pod always reaches itself. */
	if (source && is_same(&packet.source, &packet.destination)) {
		if (source->endpoint) {
			egress.direction = NO_DIRECTION;
			egress.endpoint = source->endpoint;
			egress.verdict = 1;
			egress.reason = ITSELF;
			count(COUNT_ALLOWED);
			report(&packet, &egress, 0);
		}
		return NF_ACCEPT;
	}

	/* What leaves the node itself has no pod's egress. */
	if (hook != HOOK_LOCAL_OUT) {
		if (source && source->endpoint) {
			decide_side(&egress, source, &packet.destination, destination, &packet, reading);
			if (!egress.verdict)
				return drop(&packet, &egress);
		} else if (is_in_pod_range(&packet.source)) {
			deny(&egress, UNKNOWN_ENDPOINT);
			return drop(&packet, &egress);
		}
	}

	/* What arrives at the node itself has no pod's ingress. */
	if (hook != HOOK_LOCAL_IN) {
		if (destination && destination->endpoint) {
			if (hook == HOOK_LOCAL_OUT) {
				/* The node always reaches its pods, for probes. */
				ingress.endpoint = destination->endpoint;
				ingress.verdict = 1;
				ingress.reason = OWN_NODE;
			} else {
				decide_side(&ingress, destination, &packet.source, source, &packet, reading);
				if (!ingress.verdict)
					return drop(&packet, &ingress);
			}
		} else if (hook == HOOK_FORWARD && is_in_pod_range(&packet.destination)) {
			deny(&ingress, UNKNOWN_ENDPOINT);
			return drop(&packet, &ingress);
		}
	}

	/* A connection between two of this node's pods is told once from each side, as it is between two nodes. */
	if (!(egress.verdict | ingress.verdict))
		return NF_ACCEPT;
	count(COUNT_ALLOWED);
	if (egress.verdict)
		report(&packet, &egress, ingress.verdict ? &ingress : 0);
	else
		report(&packet, &ingress, 0);
	return NF_ACCEPT;
}
