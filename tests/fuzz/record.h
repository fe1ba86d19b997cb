/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_RECORD_H
#define FUZZ_RECORD_H

#include "bytes.h"

#include <stdbool.h>

/* Receivers of messages, besides the clients by their numbers. */
#define TO_NAME 0x80000000u /* and the number of a well-known name: see names.h */
#define TO_ALL 0xffffffffu
#define TO_DRIVER 0xfffffffeu
#define TO_ABSENT 0xfffffffdu
static inline bool to_is_name(uint32_t to)
{
    return to & TO_NAME && to < TO_ABSENT;
}

/* Planned messages have serials from 1; a client's reactions have a range of their own. */
#define SERIAL_REACTION 0x40000000u

/* The callee's reaction to a call. */
enum mode { MODE_RETURN, MODE_ERROR, MODE_LATER, MODE_NEVER, MODE_TWICE, MODES };

/* The change in the model after the reply to a driver call. */
enum verb {
    VERB_NONE,
    VERB_ADD_RULE,
    VERB_REMOVE_RULE,
    VERB_REQUEST,
    VERB_RELEASE,
    VERB_MONITOR,
    VERB_ADD_SERVER,
    VERB_REQUEST_HEADER,
    VERB_SYNC,
};

/* One message that a client has sent. */
struct record {
    uint8_t type, flags;
    bool big;
    bool tagged; /* its body contains these fields */
    bool twice;  /* its serial was used twice */
    uint8_t mode, verb;
    uint8_t n_fds;
    uint8_t expected;  /* replies or errors */
    uint8_t answered;  /* that arrived */
    uint8_t delivered; /* of a broadcast: not counted */
    uint8_t refused;   /* by an error of the bus; no reply was expected */
    uint16_t topic;
    uint32_t to;
    uint32_t argument; /* of the verb; of a reply, the serial of its call */
    uint32_t owner;    /* the owner of the name when it was sent; UINT32_MAX: unknown */
    uint16_t changes;  /* the owner's, at that time */
    uint32_t order;    /* among all that its sender sent */
    uint32_t filler;   /* bytes at the end of the body */
    uint32_t clients;  /* the number of clients when it was sent */
    uint64_t must;     /* slots of the clients that a broadcast has to reach */
};

struct records {
    struct record *at;
    uint32_t n, capacity;
};

/* The next record, zeroed. The pointer is valid until the next call. */
struct record *records_add(struct records *records);
void records_free(struct records *records);

/* The record's body, which is the same every time. */
void record_body(const struct record *record, uint32_t sender, uint32_t serial, struct bytes *to);
#define RECORD_SIGNATURE "suuuuay"
uint32_t record_body_least(const struct record *record); /* its size without a filler */

/* Header fields of a topic. */
#define TOPICS 16u
struct topic {
    char path[32], interface[24], member[16], argument[32];
};
void topic_of(uint32_t number, struct topic *topic);

#endif
