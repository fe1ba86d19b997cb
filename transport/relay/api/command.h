/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_COMMAND_H
#define OMNIBUS_COMMAND_H

#include "state/bus.h"

struct door;

enum command_kind {
    COMMAND_SET_LIMITS,
    COMMAND_MEDIATE,
    COMMAND_SET_TEXTS,
    COMMAND_LOAD_POLICY,
    COMMAND_LISTEN,
    COMMAND_SHUT,
    COMMAND_STOP_LISTENING,
    COMMAND_SETTLED,
    COMMAND_ATTACH,
    COMMAND_WELCOME,
    COMMAND_SET_QUEUE,
    COMMAND_LEAVE_QUEUE,
    COMMAND_NAME_INSTANCES,
    COMMAND_REPLY,
    COMMAND_ERROR,
    COMMAND_SIGNAL,
    COMMAND_SEND,
    COMMAND_BECOME_MONITOR,
    COMMAND_RESUME,
    COMMAND_SHOW,
    COMMAND_DELIVER,
    COMMAND_REJECT,
    COMMAND_DISCONNECT,
    COMMAND_FORGET,
    COMMAND_EXPORT,
    COMMAND_EXPLAIN,
    COMMAND_TAKEN,
    COMMAND_AWAIT_NAME,
    COMMAND_COUNT_STARTS,
    COMMAND_SET_CATALOG,
    COMMAND_BEGIN_GROUP,
    COMMAND_DISSOLVE_GROUP,
    COMMAND_FREEZE,
    COMMAND_THAW,
    COMMAND_DUMP,
    COMMAND_STOP,
    COMMAND_COUNT,
};

#define COMMAND_TEXTS 5u

/* An element of the body of COMMAND_TAKEN: a report that had memory of its own. */
struct command_taken {
    struct user *user;
    uint64_t peer;
};

/*
 * A command of the control plane. Texts and body point into data. It owns the event of its answer, and what
 * its member of the union does.
 */
struct command {
    struct command *next;
    struct event *answer; /* NULL: there is none, or it was sent */
    enum command_kind kind;
    uint64_t id;     /* of a peer or of a parked message */
    uint32_t serial; /* of the call that is answered, or of a call of the bus */
    struct span text[COMMAND_TEXTS];
    const uint8_t *body;
    size_t size;
    union {
        struct {
            struct peer *peer;
            int64_t began;
        } attach;
        struct {
            uint32_t audience;
            uint8_t type;
        } send;
        uint32_t export; /* COMMAND_EXPORT: which table */
        struct {
            uint64_t recipient;
            uint32_t type;
            bool requested;
        } explain;   /* texts: those of struct relay_question */
        int dump_fd; /* COMMAND_DUMP; body: the sections of the control plane */
        struct {
            int (*begin)(struct bus *bus, int fd, uint32_t max_members, bool trust_everybody);
            int fd; /* -1: taken */
            uint32_t max_members;
            bool trust_everybody;
        } group;                       /* COMMAND_BEGIN_GROUP */
        bool constant;                 /* COMMAND_REPLY */
        struct door *door;             /* COMMAND_LISTEN */
        struct policy *policy;         /* COMMAND_LOAD_POLICY */
        struct mediation *mediation;   /* COMMAND_MEDIATE */
        struct mediation_texts *texts; /* COMMAND_SET_TEXTS, with what they refer to; id: which */
        struct monitor *monitor;       /* COMMAND_BECOME_MONITOR */
        struct name *name;             /* COMMAND_SET_QUEUE, with its entries; body: the ids of their peers */
        uint32_t n_log;                /* COMMAND_TAKEN: the log lines; body: the reports */
        struct catalog *catalog;       /* COMMAND_SET_CATALOG */
        uint32_t n_starts;             /* COMMAND_COUNT_STARTS */
        bool awaited;                  /* COMMAND_AWAIT_NAME */
        uint32_t door_number;          /* COMMAND_SHUT */
    };
    uint8_t data[];
};

struct command_batch {
    struct stack_node node;
    struct command *first, *last;
};

/* The texts may be NULL. NULL: no memory. */
struct command *command_new(enum command_kind kind, uint64_t id, const char *const texts[COMMAND_TEXTS],
                            const void *body, size_t size);
/* The same with an event for the answer, which has room for a text behind it; so the answer can't fail. */
struct command *command_new_answered(enum command_kind kind, uint64_t id,
                                     const char *const texts[COMMAND_TEXTS], const void *body, size_t size,
                                     size_t room);
void command_free(struct command *command); /* with what it still owns */
void command_batch_free(struct command_batch *batch);
/* Does what a command says; takes what the bus keeps of it, and leaves the rest to command_free. */
void command_apply(struct bus *bus, struct command *command);
/* The parts of it about the queue of a name. */
void apply_set_queue(struct bus *bus, struct command *command);
void apply_leave_queue(struct bus *bus, struct command *command);
/*
 * Applies commands until a time (clock_microseconds) and frees them. True: all, and the batch. A client with
 * 50,000 names that leaves causes one for each.
 */
bool command_batch_apply(struct bus *bus, struct command_batch *batch, int64_t end);

#endif
