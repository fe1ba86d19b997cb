/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_RESUME_INTERNAL_H
#define OMNIBUS_RESUME_INTERNAL_H

#include "accept/door.h"
#include "resume/pointer_map.h"
#include "resume/resume.h"
#include "resume/state_write.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct handshake;

/* What is noted during a dump. */
struct dump {
    struct state_writer *w;
    struct bus *bus;
    struct peer **peers; /* by id */
    uint32_t n_peers;
    struct pointer_map accounts; /* of the peers, in the same order */
    struct pointer_map messages; /* struct outgoing, in queues */
    struct pointer_map sets;     /* struct fds */
    int *fds;                    /* all descriptors */
    uint32_t n_fds, room;
    bool salvaged; /* the process of the bus is dead */
};

/*
 * Writes the tables as they are, whatever has been begun, and the sections behind them. salvaged: with those
 * that otherwise the control plane writes.
 */
int dump_tables(struct bus *bus, int fd, const uint8_t *sections, size_t size, bool salvaged,
                struct dump_result *result);

/* Writes the place of a descriptor, which is noted. */
void dump_descriptor(struct dump *d, int fd);
/* The same for a set of descriptors; NULL: none. */
void dump_set(struct dump *d, const struct fds *fds);
static inline void dump_fail(struct dump *d, int error)
{
    if (d->w->error == 0)
        d->w->error = error;
}

#define DESCRIPTOR_SIZE 20u /* of a record */

/* One descriptor of the state, which has one place in the bus. */
struct descriptor {
    int fd;
    uint64_t device, inode;
    int *slot; /* where it goes; NULL: not known yet */
};

/* What is noted during a restore. */
struct restore {
    struct bus *bus;
    const struct state_view *view;
    struct state_reader r; /* of the section being read */
    bool rehearsal;
    struct descriptor *descriptors;
    uint32_t n_descriptors, room;
    struct door **doors; /* in the order of the section; owned by the bus */
    uint32_t n_doors;
    struct fds **sets; /* each with a reference of this array */
    uint32_t n_sets;
    struct outgoing **messages; /* likewise */
    uint32_t n_messages;
    struct event **handed_up; /* owned until they are pushed */
    uint32_t n_handed_up;
    struct account *gone; /* charged for messages of peers that have left */
    bool no_memory;       /* why the section could not be read */
};

/* Zeroed memory for n objects, or one if there is none. NULL: no memory, which is noted. */
static inline void *restore_array(struct restore *s, size_t n, size_t size)
{
    void *array = calloc(n > 0 ? n : 1, size > 0 ? size : 1);
    s->no_memory |= !array;
    return array;
}
/* Notes that memory was missing. */
static inline bool restore_failed(struct restore *s)
{
    s->no_memory = true;
    return false;
}
/* What a descriptor leads to. False, with errno: it is not open. */
bool descriptor_identity(int fd, uint64_t *device, uint64_t *inode);

/*
 * Reads the place of a descriptor, and sets *slot to -1; the number goes there when all is built. False: it
 * is no place, or in use.
 */
bool restore_descriptor(struct restore *s, int *slot);
/* Adds a descriptor that the control plane's section describes. */
bool restore_own_descriptor(struct restore *s, int *slot);
/* Reads the place of a set; *fds is a new reference, or NULL for none. False: it is no place. */
bool restore_set(struct restore *s, struct fds **fds);
/* Reads the id of a peer. NULL: there is none. */
struct peer *restore_peer(struct restore *s);

/* The sections: each dump_* writes the content of one, each restore_* reads it. 0 or a negative errno. */
void dump_bus(struct dump *d);
void dump_limits(struct dump *d);
void dump_policy(struct dump *d);
void dump_mediation(struct dump *d);
void dump_catalog(struct dump *d);
void dump_descriptors(struct dump *d);
void dump_sets(struct dump *d);
void dump_doors(struct dump *d);
void dump_peers(struct dump *d);
void dump_rules(struct dump *d);
void dump_monitors(struct dump *d);
void dump_replies(struct dump *d);
void dump_queues(struct dump *d);
void dump_messages(struct dump *d);
void dump_held(struct dump *d);
void dump_parked(struct dump *d);
void dump_awaited(struct dump *d);
void dump_handshakes(struct dump *d);
void dump_names(struct dump *d);
void dump_crashes(struct dump *d);
bool has_instances(const struct dump *d);
void dump_instances(struct dump *d);
bool has_observers(const struct dump *d);
void dump_observers(struct dump *d);
int restore_bus(struct restore *s);
int restore_limits(struct restore *s);
int restore_policy(struct restore *s);
int restore_mediation(struct restore *s);
int restore_catalog(struct restore *s);
int restore_descriptor_table(struct restore *s);
int restore_sets(struct restore *s);
int restore_doors(struct restore *s);
int restore_peers(struct restore *s);
int restore_rules(struct restore *s);
int restore_monitors(struct restore *s);
int restore_names(struct restore *s);
int restore_replies(struct restore *s);
int restore_queues(struct restore *s);
int restore_messages(struct restore *s);
int restore_held(struct restore *s);
int restore_parked(struct restore *s);
int restore_awaited(struct restore *s);
int restore_handshakes(struct restore *s);
int restore_handed_up(struct restore *s);
int restore_crashes(struct restore *s);
int restore_instances(struct restore *s);
int restore_observers(struct restore *s);

/*
 * The last step, when all is built: takes the descriptors over, or leaves all of them alone, and reports what
 * there is.
 */
int restore_end(struct restore *s, char *why, size_t why_size);
/* Writes "WHAT: WHICH", with the error if it says more than -EINVAL. Returns the error. */
static inline int refuse_restore(char *why, size_t size, int error, const char *what, const char *which)
{
    snprintf(why, size, "%s: %s%s%s", what, which, error == -EINVAL ? "" : ": ",
             error == -EINVAL ? "" : strerror(-error));
    return error;
}
/* Frees what restore_handed_up made, without closing anything. */
void handed_up_free(struct restore *s);

#endif
