/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is told of a decision: the counters, the flow's numbers, and an event at most once per interval and flow.
 * Nothing here changes the decision.
 */
#pragma once

#include "packet.h"
#include "tables.h"

/* What was decided on one side, at one local endpoint. */
struct side {
	__u32 endpoint; /* 0: none */
	__u32 rule; /* 0: none */
	__u8 verdict; /* 1: allowed */
	__u8 reason;
	__u8 direction;
	__u8 hook;
};

/*
 * Whom the packet was sent to, before a Service's translation. What comes here is the first packet of its connection, or
 * has none: answers have passed before.
 */
static __always_inline void read_original(struct event *event, const struct packet *packet)
{
	const struct nf_conn *connection = (const void *)(packet->nfct & ~NFCT_INFO_MASK);
	union nf_inet_addr address = {};
	__be16 port = 0;

	event->original.halves[0] = event->original.halves[1] = 0;
	event->original_port = 0;
	/* A kernel whose conntrack is a module may have no type information of it. */
	if (!connection || !bpf_core_field_exists(connection->tuplehash))
		return;
	if (bpf_core_read(&address, sizeof(address), &connection->tuplehash[0].tuple.dst.u3))
		return;
	if (packet->family == 4) {
		event->original.words[2] = bpf_htonl(0xffff);
		event->original.words[3] = address.all[0];
	} else {
		__builtin_memcpy(&event->original, &address, sizeof(event->original));
	}
	/* ICMP has its type and code in this place. */
	if (packet->source_port | packet->destination_port) {
		bpf_core_read(&port, sizeof(port), &connection->tuplehash[0].tuple.dst.u.all);
		event->original_port = bpf_ntohs(port);
	}
}

/* Whether it was sent. */
static __always_inline int send_event(const struct packet *packet, const struct side *side, __u64 now,
				      __u64 suppressed)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		count(COUNT_EVENTS_LOST);
		return 0;
	}
	event->time_ns = now;
	event->source = packet->source;
	event->destination = packet->destination;
	event->source_port = packet->source_port;
	event->destination_port = packet->destination_port;
	event->protocol = packet->protocol;
	event->family = packet->family;
	event->verdict = side->verdict;
	event->direction = side->direction;
	event->hook = side->hook;
	event->reason = side->reason;
	read_original(event, packet);
	event->rule = side->rule;
	event->endpoint = side->endpoint;
	event->suppressed = suppressed > 0xffffffff ? 0xffffffff : suppressed;
	bpf_ringbuf_submit(event, 0);
	return 1;
}

/* One event for each side; whether all of them were sent. */
static __always_inline int send_events(const struct packet *packet, const struct side *one, const struct side *other,
				       __u64 now, __u64 suppressed)
{
	int sent = send_event(packet, one, now, suppressed);

	return (!other || send_event(packet, other, now, suppressed)) && sent;
}

/*
 * Tells of one side's decision, or of two that agree: `other` is null or has the same verdict. Both share the flow,
 * and with it the limit.
 *
 * The flow's numbers are shared by all CPUs, and an element may be recycled for another flow meanwhile: then a
 * number is off by a packet, and no decision depends on it.
 */
static __always_inline void report(const struct packet *packet, const struct side *one, const struct side *other)
{
	struct flow_key key = {
		.source = packet->source,
		.destination = packet->destination,
		.port = packet->destination_port,
		.protocol = packet->protocol,
		.outcome = one->verdict | 2 << one->direction | (other ? 2 << other->direction : 0),
	};
	struct flow_value *flow = bpf_map_lookup_elem(&flows, &key);
	__u64 now = bpf_ktime_get_ns();
	__u64 last, packets, told;

	if (!flow) {
		struct flow_value fresh = {
			.packets = 1,
			.bytes = packet->size,
			.last_seen_ns = now,
			.last_event_ns = now,
		};

		fresh.told = send_events(packet, one, other, now, 0);
		if (bpf_map_update_elem(&flows, &key, &fresh, BPF_NOEXIST))
			count(COUNT_FLOWS_LOST);
		return;
	}
	packets = __sync_fetch_and_add(&flow->packets, 1) + 1;
	__sync_fetch_and_add(&flow->bytes, packet->size);
	WRITE_ONCE(flow->last_seen_ns, now);

	/* Signed: another CPU may have been here a moment later. */
	last = READ_ONCE(flow->last_event_ns);
	if ((__s64)(now - last) < (__s64)event_interval_ns ||
	    __sync_val_compare_and_swap(&flow->last_event_ns, last, now) != last)
		return;
	told = READ_ONCE(flow->told);
	if (send_events(packet, one, other, now, packets > told ? packets - told - 1 : 0))
		WRITE_ONCE(flow->told, packets);
}

static __always_inline void count_denial(__u8 reason)
{
	switch (reason) {
	case UNKNOWN_ENDPOINT:
		return count(COUNT_UNKNOWN_ENDPOINT);
	case MALFORMED:
		return count(COUNT_MALFORMED);
	case FRAGMENT:
		return count(COUNT_FRAGMENT);
	case MISSING_ROW:
		return count(COUNT_MISSING_ROW);
	case CUT:
		return count(COUNT_CUT);
	default:
		return count(COUNT_DENIED);
	}
}
