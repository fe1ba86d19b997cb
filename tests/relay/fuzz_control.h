/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_FUZZ_CONTROL_H
#define OMNIBUS_FUZZ_CONTROL_H

/*
 * A control plane that obeys relay.h. It takes events in order, keeps the queues of names, and owes an answer
 * to each event that waits for one (fuzz_answers.h). The input chooses the answer, and the time of it.
 */

#include "fuzz_client.h"

#include "../../transport/relay/api/relay_internal.h"

#include <fcntl.h>

#define CONTROL_OPEN 256u /* limit of events taken and not answered */
#define CONTROL_QUEUE 4u

struct control_open {
    uint32_t kind, serial;
    uint64_t peer, parked;
    uint8_t type;
    bool active, hello;
    bool outdated; /* about services, and the catalogue is not current */
    uint32_t name; /* index into word_names of the name that it is about; WORDS_OWNED: none */
};

static struct control {
    struct relay *relay;
    int listener; /* the origin of connections, for the data plane; -1: none */
    struct control_open open[CONTROL_OPEN];
    uint32_t n_open;
    uint64_t queues[WORDS_OWNED][CONTROL_QUEUE];
    uint32_t n_queued[WORDS_OWNED];
    uint8_t directories; /* of services: bits of word_directories */
    uint32_t asked;      /* serial of the latest call of the bus */
    bool frozen;         /* FROZEN came */
    int dumped;          /* what DUMPED said */
    uint64_t n_attached; /* connections that were not accepted: their ids are above those of the data plane */
} control;

static inline void control_turn(void)
{
    world.running = true;
    int wait = relay_turn(control.relay);
    world.running = false;
    ASSERT(wait >= -1);
}

/* Without memory the command is lost; the control plane would repeat it. */
#define CONTROL(call)                                                                                        \
    do {                                                                                                     \
        world.running = true;                                                                                \
        int control_error = (call);                                                                          \
        world.running = false;                                                                               \
        ASSERT(control_error == 0 || (control_error == -ENOMEM && world.allocations_fail));                  \
    } while (0)

/* The same for a command without which the bus would wait forever. */
#define CONTROL_SURELY(call)                                                                                 \
    do {                                                                                                     \
        bool control_failing = world.allocations_fail;                                                       \
        world.allocations_fail = false;                                                                      \
        CONTROL(call);                                                                                       \
        world.allocations_fail = control_failing;                                                            \
    } while (0)

static inline uint32_t control_name(const char *text, size_t size)
{
    for (uint32_t i = 0; i < WORDS_OWNED; i++) {
        if (strlen(word_names[i]) == size && memcmp(word_names[i], text, size) == 0)
            return i;
    }
    return WORDS_OWNED;
}

/* The first argument, if it is a string. */
static inline uint32_t control_argument(const struct relay_event *event)
{
    uint32_t size;
    if (!event->signature || event->signature[0] != 's' || event->body_size < sizeof(size))
        return WORDS_OWNED;
    memcpy(&size, event->body, sizeof(size));
    size = event->big_endian ? __builtin_bswap32(size) : size;
    return control_name((const char *)event->body + sizeof(size), size);
}

static inline void control_set_queue(uint32_t name)
{
    CONTROL_SURELY(
        relay_set_queue(control.relay, word_names[name], control.queues[name], NULL, control.n_queued[name]));
}

static inline void control_enqueue(uint32_t name, uint64_t peer)
{
    uint64_t *queue = control.queues[name];
    for (uint32_t i = 0; i < control.n_queued[name]; i++) {
        if (queue[i] == peer)
            return;
    }
    if (control.n_queued[name] < CONTROL_QUEUE)
        queue[control.n_queued[name]++] = peer;
}

/* True if it was in the queue. */
static inline bool control_dequeue(uint32_t name, uint64_t peer)
{
    uint32_t n = 0, before = control.n_queued[name];
    for (uint32_t i = 0; i < before; i++) {
        if (control.queues[name][i] != peer)
            control.queues[name][n++] = control.queues[name][i];
    }
    control.n_queued[name] = n;
    return n < before;
}

static inline void control_leave_queues(uint64_t peer)
{
    for (uint32_t name = 0; name < WORDS_OWNED; name++) {
        if (control_dequeue(name, peer))
            control_set_queue(name);
    }
}

static inline bool control_asks_for_services(const struct relay_event *event)
{
    return event->kind == RELAY_EVENT_PARKED ||
           (event->member && (strcmp(event->member, "StartServiceByName") == 0 ||
                              strcmp(event->member, "ListActivatableNames") == 0));
}

static inline void control_owe(const struct relay_event *event)
{
    struct control_open *open = &control.open[control.n_open++];
    *open = (struct control_open){.kind = event->kind,
                                  .serial = event->serial,
                                  .peer = event->peer,
                                  .parked = event->parked,
                                  .type = event->type,
                                  .active = event->active,
                                  .outdated = !event->current && control_asks_for_services(event),
                                  .name = WORDS_OWNED};
    if (event->kind == RELAY_EVENT_CALL) {
        open->hello = !event->active;
        open->name = control_argument(event);
    } else if (event->kind == RELAY_EVENT_PARKED) {
        open->name = control_name(event->destination, strlen(event->destination));
    }
}

/* Closes a handed-up connection, or attaches it with the bytes after BEGIN. */
static inline void control_handed_up(const struct relay_event *event)
{
    static const char begin[] = "BEGIN\r\n";
    const uint8_t *end = memmem(event->body, event->body_size, begin, sizeof(begin) - 1);
    ASSERT(event->n_fds <= 253);
    if (end) {
        const uint8_t *rest = end + sizeof(begin) - 1;
        struct relay_credentials who = {.uid = 1000, .fd_passing = true, .loginfo = "uid=1000"};
        CONTROL(relay_attach(control.relay, event->peer, event->fd, control.listener, event->began, &who,
                             rest, (size_t)(event->body + event->body_size - rest), event->fds,
                             event->n_fds));
    } else {
        close(event->fd);
        for (uint32_t i = 0; i < event->n_fds; i++)
            close(event->fds[i]);
    }
    CONTROL_SURELY(relay_settled(control.relay));
}

static inline void control_event(const struct relay_event *event)
{
    uint32_t name;
    switch (event->kind) {
    case RELAY_EVENT_CALL:
    case RELAY_EVENT_PARKED:
    case RELAY_EVENT_GONE:
        control_owe(event);
        break;
    case RELAY_EVENT_NAMED:
        name = control_name(event->destination, strlen(event->destination));
        ASSERT(name == WORDS_OWNED || control.n_queued[name] == 0 ||
               (control.n_queued[name] == 1 && control.queues[name][0] == event->peer));
        if (name < WORDS_OWNED && control.n_queued[name] == 0)
            control_enqueue(name, event->peer);
        break;
    case RELAY_EVENT_RELEASED:
        name = control_name(event->destination, strlen(event->destination));
        ASSERT(name == WORDS_OWNED ||
               (control.n_queued[name] == 1 && control.queues[name][0] == event->peer));
        if (name < WORDS_OWNED)
            control_dequeue(name, event->peer);
        break;
    case RELAY_EVENT_HANDED_UP:
        control_handed_up(event);
        break;
    case RELAY_EVENT_FROZEN:
        control.frozen = true;
        break;
    case RELAY_EVENT_DUMPED:
        ASSERT((event->serial == 0) == (event->body_size == 0));
        control.dumped = (int)event->serial;
        break;
    case RELAY_EVENT_EXPORT:
        ASSERT(!event->body || event->body[0] == '{' || event->body[0] == '[');
        break;
    default:
        break;
    }
}

/* Takes at most this many events. */
static inline void control_take(uint32_t most)
{
    struct relay_event event;
    while (most-- > 0 && control.n_open < CONTROL_OPEN && relay_events(control.relay, &event, 1) == 1)
        control_event(&event);
    CONTROL(relay_commit(control.relay));
}

#endif
