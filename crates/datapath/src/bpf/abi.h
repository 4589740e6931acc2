/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What this program and the Rust half (src/abi.rs) agree on: keys, values, events, numbers. Sizes are asserted
 * on both sides.
 */
#pragma once

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed int __s32;
typedef signed long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;

/* An IPv4 address is kept as ::ffff:a.b.c.d. */
struct address {
	union {
		__u8 bytes[16];
		__u32 words[4];
		__u64 halves[2];
	};
};
_Static_assert(sizeof(struct address) == 16, "address");

struct prefix {
	__u32 len;
	__u32 words[4];
};
_Static_assert(sizeof(struct prefix) == 20, "prefix");

/* Packets are judged by one slot while the other is written. */
#define SLOTS 2

struct identities {
	__u64 slot[SLOTS];
};
_Static_assert(sizeof(struct identities) == 16, "identities");

struct range {
	__u32 flags[SLOTS];
};
_Static_assert(sizeof(struct range) == 8, "range");

/* What holds for a known address. A direction's word: bit 0 isolated, bit 1 a local endpoint, above the policy set. */
struct end {
	__u64 identity[SLOTS];
	__u64 ingress[SLOTS];
	__u64 egress[SLOTS];
};
_Static_assert(sizeof(struct end) == 48, "end");

#define WORD_ISOLATED 1ULL
#define WORD_PRESENT 2ULL
#define WORD_RESERVED 3ULL

#define RANGE_PODS 1

struct rule_key {
	__u64 set; /* its two low bits clear, or bit 0 set: SET_HAIRPIN */
	__u64 identity;
};
_Static_assert(sizeof(struct rule_key) == 16, "rule_key");

/* Stands in a policy set's rows for every identity without a row of its own. */
#define IDENTITY_ANY 1

/* For a pod of the set that reaches itself, with the identity that it has. Without a row it does. */
#define SET_HAIRPIN 1ULL

/* Set in the number of a port map: it has no rows for one port, no rows for blocks of ports. */
#define PORTMAP_NO_PORTS (1ULL << 63)
#define PORTMAP_NO_BLOCKS (1ULL << 62)

struct portmap_key {
	__u32 len;
	__u32 portmap[2]; /* two halves: an __u64 here would bring padding */
	__u8 protocol;
	__u8 port[2]; /* big endian */
	__u8 pad;
};
_Static_assert(sizeof(struct portmap_key) == 16, "portmap_key");

/* As many bits count: for one port, and for everything. Blocks of ports lie between. */
#define PORTMAP_PORT_BITS 88
#define PORTMAP_EVERYTHING_BITS 64

struct portmap_value {
	__u8 verdict;
	__u8 pad[3];
	__u32 rule;
};
_Static_assert(sizeof(struct portmap_value) == 8, "portmap_value");

struct flow_key {
	struct address source;
	struct address destination;
	__u16 port;
	__u8 protocol;
	__u8 outcome; /* bit 0: allowed; bits 1 to 3: egress, ingress, no direction */
} __attribute__((packed, aligned(4)));
_Static_assert(sizeof(struct flow_key) == 36, "flow_key");

struct flow_value {
	__u64 packets;
	__u64 bytes;
	__u64 last_seen_ns;
	__u64 last_event_ns;
	__u64 told; /* packets up to the last event */
};
_Static_assert(sizeof(struct flow_value) == 40, "flow_value");

/* Packets of a connection that was cut, against its direction; the value is until when, in nanoseconds. */
struct cut_key {
	struct address source;
	struct address destination;
	__u16 source_port;
	__u16 destination_port;
	__u8 protocol;
	__u8 pad[3];
};
_Static_assert(sizeof(struct cut_key) == 40, "cut_key");

struct event {
	__u64 time_ns;
	struct address source;
	struct address destination;
	__u16 source_port;
	__u16 destination_port;
	__u8 protocol;
	__u8 family;
	__u8 verdict;
	__u8 direction;
	__u8 hook;
	__u8 reason;
	__u16 original_port;
	__u32 rule;
	__u32 endpoint;
	__u32 suppressed;
	struct address original; /* the destination before its translation; zeros where conntrack knows nothing */
};
_Static_assert(sizeof(struct event) == 80, "event");

enum direction {
	EGRESS = 0,
	INGRESS = 1,
	NO_DIRECTION = 2,
};

enum reason {
	OPEN = 1, /* no policy holds the endpoint in this direction */
	RULE = 2,
	DEFAULT = 3, /* policies hold the endpoint, and none of their rules decides */
	UNKNOWN_ENDPOINT = 4,
	MALFORMED = 5,
	FRAGMENT = 6,
	MISSING_ROW = 7,
	OWN_NODE = 8,
	ITSELF = 9,
	CUT = 10,
};

enum counter {
	COUNT_ALLOWED,
	COUNT_DENIED, /* by a rule or by default */
	COUNT_UNKNOWN_ENDPOINT,
	COUNT_MALFORMED,
	COUNT_FRAGMENT,
	COUNT_MISSING_ROW,
	COUNT_EVENTS_LOST,
	COUNT_FLOWS_LOST,
	COUNT_CUT,
	COUNTERS,
};
