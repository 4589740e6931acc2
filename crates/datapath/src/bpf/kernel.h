/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The handful of kernel types, constants and functions that this program uses. Offsets are those of the kernel that
 * loads it (CO-RE), so only the fields named here need to exist there.
 */
#pragma once

#include "abi.h"

/* include/uapi/linux/bpf.h */
#define BPF_MAP_TYPE_HASH 1
#define BPF_MAP_TYPE_ARRAY 2
#define BPF_MAP_TYPE_PERCPU_ARRAY 6
#define BPF_MAP_TYPE_LRU_HASH 9
#define BPF_MAP_TYPE_LPM_TRIE 11
#define BPF_MAP_TYPE_RINGBUF 27
#define BPF_NOEXIST 1
#define BPF_F_NO_PREALLOC 1
#define BPF_F_MMAPABLE (1 << 10)

/* bpf_helpers.h declares its helpers with these. */
struct bpf_map;
/* Never looked into, but a mere declaration would not match the kernel's signature of bpf_dynptr_from_skb(). */
struct __sk_buff {
	__u32 len;
};
struct bpf_dynptr {
	__u64 opaque[2];
} __attribute__((aligned(8)));

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define NF_DROP 0
#define NF_ACCEPT 1

/* include/uapi/linux/netfilter.h */
#define HOOK_LOCAL_IN 1
#define HOOK_FORWARD 2
#define HOOK_LOCAL_OUT 3
#define NFPROTO_IPV4 2
#define NFPROTO_IPV6 10

/* The low bits of sk_buff._nfct; enum ip_conntrack_info and NFCT_INFOMASK in include/linux/netfilter. */
#define NFCT_INFO_MASK 7UL
#define NFCT_ESTABLISHED 0
#define NFCT_RELATED 1
#define NFCT_ESTABLISHED_REPLY 3
#define NFCT_RELATED_REPLY 4

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sk_buff {
	unsigned int len;
	unsigned long _nfct;
};

struct nf_hook_state {
	__u8 hook;
	__u8 pf;
};

struct bpf_nf_ctx {
	const struct nf_hook_state *state;
	struct sk_buff *skb;
};

/* A connection; tuplehash[0] is its original direction. The kernel's type information knows this type twice. */
union nf_inet_addr {
	__u32 all[4];
};

struct nf_conntrack_tuple {
	struct {
		union nf_inet_addr u3;
		union {
			__be16 all;
		} u;
	} dst;
};

struct nf_conntrack_tuple_hash {
	struct nf_conntrack_tuple tuple;
};

struct nf_conn {
	struct nf_conntrack_tuple_hash tuplehash[2];
};

#pragma clang attribute pop

extern int bpf_dynptr_from_skb(struct __sk_buff *skb, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *ptr, __u32 offset, void *buffer, __u32 size) __ksym;

#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile typeof(x) *)&(x) = (value))
/* Hides a value from the compiler, which then cannot turn what is computed from it into a branch. */
#define HIDE(x) asm volatile("" : "+r"(x))
