/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_FILTER_H
#define OMNIBUS_FILTER_H

#include "base/span.h"
#include "wire/message.h"

#include <linux/filter.h>
#include <linux/unix_multicast.h>

/*
 * Filters of the group, compiled to the classic BPF that unix_multicast(7) runs on each message.
 *
 * - Each member has an egress filter, made of its flows: the classes of messages that the policy allows it to
 *   send to certain members directly. It has an ingress filter, made of its match rules: the broadcasts that
 *   it wants. One first filter (first.c), the same for all groups, runs before them.
 * - One egress filter more is the same for all members. It finds the name of the recipient, and the kernel
 *   whose that is, and whether it accepts such messages.
 * - A filter sees a message as its sender wrote it, without SENDER. The first filter verifies that the
 *   message is well-formed; the others only decide who gets it.
 * - An egress filter never denies, and an ingress filter denies only broadcasts that its member does not want
 *   or whose sender the policy rejects as a whole. A message that a filter cannot decide, or that is not
 *   clearly well-formed, *asks*: the group passes it to the relay, which parses it, applies the whole policy
 *   and logs. A filter that asks too often costs time; one that passes too much is a hole. In doubt a filter
 *   asks.
 * - The folder is a compiler without side effects: texts in, instructions out. It knows neither peers nor the
 *   policy, so tests run its output against the relay's own functions.
 *
 * One filter for the whole group was rejected: every AddMatch would rebuild it. Extended BPF was rejected
 * since loading it takes privileges that a session bus lacks.
 */

#define FILTER_TOPICS MESSAGE_METHOD_CALL, MESSAGE_METHOD_RETURN, MESSAGE_SIGNAL, MESSAGE_ERROR

#pragma GCC visibility push(default)
/* cffi: begin */
#define FILTER_MAX_MESSAGE 65536
#define FILTER_NO_MEMBER 0xffffffff /* stands for no member */
#define FILTER_SIDE_SHIFT 14        /* a mark is side << 14 | index */

/* A class of messages that the policy allows to one member. A span with s NULL: any, or none. */
struct filter_flow {
    struct span destination; /* as in the message: a unique name, or a name that the member owns */
    uint32_t index;          /* index of the receiving member */
    uint8_t types;           /* 1 << enum message_type each */
    struct span path, interface, member, error_name;
};

struct filter_egress {
    _Bool big_endian;  /* the byte order of the sender; messages in the other one ask */
    _Bool broadcasts;  /* broadcasts go to all members whose ingress filter accepts them */
    uint32_t max_size; /* limit of the whole message, at most FILTER_MAX_MESSAGE */
    const struct filter_flow *flows;
    uint32_t n_flows;
};

/* One match rule, as far as it concerns broadcasts. A span with s NULL: any. */
struct filter_rule {
    _Bool by_sender;
    _Bool unclear;   /* the rule has further keys: ask if those below match */
    uint32_t sender; /* index; FILTER_NO_MEMBER: no message from a member matches */
    struct span interface, member, path, path_namespace, arg0;
};

enum filter_side { /* the verdict of the receiver's policy on all senders of a party */
                   FILTER_SIDE_ASK = 0,
                   FILTER_SIDE_NO = 1,
                   FILTER_SIDE_YES = 2,
};

struct filter_ingress {
    _Bool big_endian; /* messages in the other byte order ask */
    const struct filter_rule *rules;
    uint32_t n_rules;
    const uint8_t *sides; /* enum filter_side, by number; missing ones ask */
    uint32_t n_sides;
};

/* A chain of programs, stored one after the other in instructions. */
struct filter {
    struct sock_filter *instructions;
    uint32_t count;
    uint32_t lengths[64];
};

/* 0; -ENOMEM; -E2BIG: too much for one chain. The caller frees *out, even if it is empty. */
int filter_compile_first(struct filter *out); /* the same for all groups: note.h */
int filter_compile_egress(const struct filter_egress *egress, struct filter *out);
/* For all members: to the name in a message, or a broadcast. The topic is the type's place in FILTER_TOPICS.
 */
int filter_compile_shared(uint32_t max_size, struct filter *out);
int filter_compile_ingress(const struct filter_ingress *ingress, struct filter *out);
void filter_free(struct filter *filter);
/* cffi: end */
#pragma GCC visibility pop

#endif
