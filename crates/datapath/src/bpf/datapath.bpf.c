// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Decides whether a new connection may be: at FORWARD, LOCAL_IN and LOCAL_OUT, for IPv4 and IPv6, after
 * destination NAT and before source NAT, so that both addresses are the pods' own. It only looks up what the
 * tables say. `Tables::fate` in the Rust half (src/mirror.rs) reads the same, and a test holds the two together.
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
 * Neighbour discovery and multicast listener discovery, without which IPv6 does not work. Neighbour discovery's hop
 * limit shows that no router stands between: RFC 4861 (255). Listener discovery's does not: a packet that was sent with
 * 2 is seen here with 1 (ip6_forward() counts down before it asks). What is for a multicast group is not routed.
 */
static __always_inline int is_link_housekeeping(const struct packet *packet)
{
	switch (packet->icmpv6_type) {
	case 133 ... 137:
		return packet->hop_limit == 255;
	case 130 ... 132:
	case 143:
		return packet->hop_limit == 1 && packet->destination.bytes[0] == 0xff;
	}
	return 0;
}

/*
 * Goes against the direction of a connection that was cut. Conntrack, which has forgotten the connection, takes what its
 * other end sends for a new one the other way round (nf_conntrack_tcp_loose), and that may be permitted. What says itself
 * that it begins a connection does not belong to the one that was cut.
 */
static __always_inline int is_cut(const struct packet *packet)
{
	struct cut_key key = {
		.source = packet->source,
		.destination = packet->destination,
		.source_port = packet->source_port,
		.destination_port = packet->destination_port,
		.protocol = packet->protocol,
	};
	__u64 *until;

	if (packet->opens || !(packet->source_port | packet->destination_port))
		return 0;
	until = bpf_map_lookup_elem(&cut, &key);
	return until && bpf_ktime_get_ns() < READ_ONCE(*until);
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

/* What is known of one end of a connection. */
struct party {
	const struct address *address;
	struct end *end; /* null for an unknown address */
	__u32 index; /* of it */
};

static __always_inline struct party look_up_party(const struct address *address)
{
	struct party party = { .address = address };
	__u32 *index = bpf_map_lookup_elem(&addresses, address);

	if (index) {
		party.index = *index;
		party.end = bpf_map_lookup_elem(&ends, index);
	}
	return party;
}

/*
 * The slot is read once for a packet, and before anything that it selects: places in arrays are computed from it, so
 * that no CPU reads them earlier. For what is found by searching, the loader waits for packets under way before it
 * changes the slot on CPUs that read out of order.
 */
static __always_inline __u32 active_slot(void)
{
	__u32 key = 0;
	__u64 *word = bpf_map_lookup_elem(&active, &key);
	__u32 slot = word ? READ_ONCE(*word) & 1 : 0;

	HIDE(slot);
	return slot & 1;
}

/* In a range of this node's pods. Asked for addresses that no local endpoint has. */
static __always_inline int is_in_pod_range(const struct address *address, __u32 slot)
{
	struct prefix prefix = whole_prefix(address);
	struct range *range = bpf_map_lookup_elem(&ranges, &prefix);

	return range && range->flags[slot & 1] == RANGE_PODS;
}

static __always_inline __u64 look_up_identity(const struct party *party, __u32 slot)
{
	struct prefix prefix;
	struct identities *identities;

	if (party->end)
		return READ_ONCE(party->end->identity[slot & 1]);
	prefix = whole_prefix(party->address);
	identities = bpf_map_lookup_elem(&cidrs, &prefix);
	return identities ? READ_ONCE(identities->slot[slot & 1]) : 0;
}

/* The port map between a policy set and an identity; IDENTITY_ANY stands for those without a row. */
static __always_inline __u64 *look_up_rule(__u64 set, __u64 identity)
{
	struct rule_key key = { .set = set, .identity = identity };
	__u64 *portmap = bpf_map_lookup_elem(&rules, &key);

	if (portmap)
		return portmap;
	key.identity = IDENTITY_ANY;
	return bpf_map_lookup_elem(&rules, &key);
}

/*
 * The longest match in a port map. Nothing is longer than a row for one port, and nothing shorter than the one for
 * everything: a hash finds both, several times as fast as the trie, which is asked only where there are blocks.
 */
static __always_inline struct portmap_value *look_up_port(__u64 portmap, const struct packet *packet)
{
	struct portmap_key key = {
		.len = PORTMAP_PORT_BITS,
		.protocol = packet->protocol,
		.port = { packet->destination_port >> 8, packet->destination_port & 0xff },
	};
	struct portmap_value *entry = 0;

	__builtin_memcpy(key.portmap, &portmap, sizeof(key.portmap));
	if (!(portmap & PORTMAP_NO_PORTS))
		entry = bpf_map_lookup_elem(&portmaps, &key);
	if (!entry && !(portmap & PORTMAP_NO_BLOCKS))
		entry = bpf_map_lookup_elem(&portblocks, &key);
	if (entry)
		return entry;
	key.len = PORTMAP_EVERYTHING_BITS;
	key.protocol = key.port[0] = key.port[1] = 0;
	return bpf_map_lookup_elem(&portmaps, &key);
}

static __always_inline void allow(struct side *side, __u8 reason)
{
	side->verdict = 1;
	side->reason = reason;
}

static __always_inline void deny(struct side *side, __u8 reason)
{
	side->verdict = 0;
	side->reason = reason;
}

/* What a port map says; null where its row is missing. */
static __always_inline void decide(struct side *side, const __u64 *portmap, const struct packet *packet,
				   enum reading reading)
{
	struct portmap_value *entry;

	if (reading != WHOLE)
		return deny(side, reading == LATER_FRAGMENT ? FRAGMENT : MALFORMED);
	if (!portmap)
		return deny(side, MISSING_ROW);
	entry = look_up_port(*portmap, packet);
	if (!entry)
		return deny(side, MISSING_ROW);
	side->verdict = entry->verdict == 1;
	side->rule = entry->rule;
	side->reason = entry->rule ? RULE : DEFAULT;
}

/* What becomes of the packet on the side of a local endpoint. */
static __always_inline void decide_side(struct side *side, __u64 word, __u32 endpoint, const struct party *other,
					__u32 slot, const struct packet *packet, enum reading reading)
{
	side->endpoint = endpoint;
	if (word & WORD_ISOLATED)
		return decide(side, look_up_rule(word & ~WORD_RESERVED, look_up_identity(other, slot)), packet,
			      reading);
	allow(side, OPEN);
}

/*
 * A pod that reaches itself through a Service: what it sends to its own address is not seen here. It does so where no
 * cluster-wide policy says otherwise, and only those have rows.
 */
static __always_inline void decide_hairpin(struct side *side, __u64 word, const struct party *itself, __u32 slot,
					   const struct packet *packet, enum reading reading)
{
	struct rule_key key = {
		.set = (word & ~WORD_RESERVED) | SET_HAIRPIN,
		.identity = look_up_identity(itself, slot),
	};
	__u64 *portmap = word & WORD_ISOLATED ? bpf_map_lookup_elem(&rules, &key) : 0;

	side->endpoint = itself->index;
	if (portmap)
		return decide(side, portmap, packet, reading);
	allow(side, ITSELF);
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
	struct party source, destination;
	struct packet packet = {};
	struct side egress = { .direction = EGRESS }, ingress = { .direction = INGRESS };
	__u64 egress_word, ingress_word;
	enum reading reading;
	__u32 slot;
	__u8 hook;

	if (is_established(skb->_nfct))
		return NF_ACCEPT;

	hook = ctx->state->hook;
	egress.hook = ingress.hook = hook;
	reading = read_packet(skb, ctx->state->pf, &packet);
	if (reading == UNREADABLE) {
		egress.direction = NO_DIRECTION;
		deny(&egress, MALFORMED);
		return drop(&packet, &egress);
	}
	if (reading == WHOLE && is_link_housekeeping(&packet))
		return NF_ACCEPT;

	if (reading == WHOLE && is_cut(&packet)) {
		egress.direction = NO_DIRECTION;
		deny(&egress, CUT);
		return drop(&packet, &egress);
	}

	slot = active_slot();
	source = look_up_party(&packet.source);
	destination = look_up_party(&packet.destination);
	egress_word = source.end ? READ_ONCE(source.end->egress[slot]) : 0;
	ingress_word = destination.end ? READ_ONCE(destination.end->ingress[slot]) : 0;

	if (is_same(&packet.source, &packet.destination) && egress_word & WORD_PRESENT) {
		decide_hairpin(&egress, egress_word, &source, slot, &packet, reading);
		if (!egress.verdict)
			return drop(&packet, &egress);
		decide_hairpin(&ingress, ingress_word, &source, slot, &packet, reading);
		if (!ingress.verdict)
			return drop(&packet, &ingress);
		if (egress.reason == ITSELF && ingress.reason == ITSELF) {
			/* No side had a say. */
			egress.direction = NO_DIRECTION;
			ingress.verdict = 0;
		}
		goto allowed;
	}

	/* What leaves the node itself has no pod's egress. */
	if (hook != HOOK_LOCAL_OUT) {
		if (egress_word & WORD_PRESENT) {
			decide_side(&egress, egress_word, source.index, &destination, slot, &packet, reading);
			if (!egress.verdict)
				return drop(&packet, &egress);
		} else if (is_in_pod_range(&packet.source, slot)) {
			deny(&egress, UNKNOWN_ENDPOINT);
			return drop(&packet, &egress);
		}
	}

	/* What arrives at the node itself has no pod's ingress. */
	if (hook != HOOK_LOCAL_IN) {
		if (ingress_word & WORD_PRESENT) {
			if (hook == HOOK_LOCAL_OUT) {
				/* The node always reaches its pods, for probes. */
				ingress.endpoint = destination.index;
				allow(&ingress, OWN_NODE);
			} else {
				decide_side(&ingress, ingress_word, destination.index, &source, slot, &packet, reading);
				if (!ingress.verdict)
					return drop(&packet, &ingress);
			}
		} else if (hook == HOOK_FORWARD && is_in_pod_range(&packet.destination, slot)) {
			deny(&ingress, UNKNOWN_ENDPOINT);
			return drop(&packet, &ingress);
		}
	}

allowed:
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
