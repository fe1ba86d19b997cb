/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_FILTER_H
#define OMNIBUS_FILTER_H

#include "base/span.h"

#include <linux/filter.h>
#include <linux/unix_multicast.h>

/*
 * What a member of the group may send to whom, and what it wants to hear, as classic BPF that the kernel
 * runs on each message: unix_multicast(7). A filter sees the message as its sender wrote it, without SENDER.
 * The first filter sees to it that the message is right; the others only say whose it is.
 * What it can't express, and whatever is not plainly right, asks: the message goes to the relay.
 */

/* cffi: begin */
#define FILTER_MAX_MESSAGE 65536
#define FILTER_NOBODY 0xffffffff /* no member */
#define FILTER_SIDE_SHIFT 14     /* a mark is side << 14 | index */

/* A class of messages that the policy lets go to one member. Spans with s NULL: any, or none. */
struct filter_flow {
    struct span destination; /* as messages name it: a unique name, or one that the member owns */
    uint32_t index;          /* of that member */
    uint8_t types;           /* 1 << enum message_type each */
    struct span path, interface, member, error_name;
};

struct filter_egress {
    _Bool big_endian;  /* the byte order of the sender; what has the other asks */
    _Bool broadcasts;  /* signals to nobody in particular go to all whose ingress filter says yes */
    uint32_t max_size; /* of the whole message, at most FILTER_MAX_MESSAGE */
    const struct filter_flow *flows;
    uint32_t n_flows;
};

/* One match rule, as far as it concerns signals to nobody in particular. Spans with s NULL: any. */
struct filter_rule {
    _Bool by_sender;
    _Bool unclear;   /* it says more than stands here: ask where the rest matches */
    uint32_t sender; /* index; FILTER_NOBODY: nothing that members send matches */
    struct span interface, member, path, path_namespace, arg0;
};

enum filter_side { /* what the receiver's policy says of all senders of a side */
                   FILTER_SIDE_ASK = 0,
                   FILTER_SIDE_NO = 1,
                   FILTER_SIDE_YES = 2,
};

struct filter_ingress {
    _Bool big_endian; /* messages of the other byte order ask */
    const struct filter_rule *rules;
    uint32_t n_rules;
    const uint8_t *sides; /* enum filter_side, by number; those that are not there ask */
    uint32_t n_sides;
};

/* A chain of programs, one behind the other in instructions. */
struct filter {
    struct sock_filter *instructions;
    uint32_t count;
    uint32_t lengths[64];
};

/* 0; -ENOMEM; -E2BIG: too much for one chain. *out is to be freed, also when it is empty. */
int filter_compile_first(struct filter *out); /* the same for all groups: note.h */
int filter_compile_egress(const struct filter_egress *egress, struct filter *out);
int filter_compile_ingress(const struct filter_ingress *ingress, struct filter *out);
void filter_free(struct filter *filter);
/* cffi: end */

#endif
