/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_FUZZ_BUS_H
#define OMNIBUS_FUZZ_BUS_H

/*
 * The relay through its own interface: an input is a sequence of actions, of clients, of the control plane
 * and of the kernel, each a byte and the bytes that choose its words. For every input the relay stays
 * within its memory, each client reads a stream of valid messages, and after all have disconnected no
 * memory, no descriptor and no table entry is left.
 *
 * The relay has no thread of its own here; relay_turn is called. Time moves by actions only, or by a step at
 * each look at the clock, and there is no other source of chance: an input does the same each time.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem, memfd_create, struct ucred */
#endif
#include "fuzz_upgrade_acts.h"

#include "../../transport/relay/send/monitor.h"

#include <sys/mman.h>

#define ACTIONS 64   /* of one input */
#define SETTLED 1000 /* turns after which the relay must be idle */

/* The first byte of an input: how it begins. */
enum {
    BEGIN_TRUST = 1,
    BEGIN_DOOR = 2,
    BEGIN_PEERS = 4,
    BEGIN_ABRUPT_END = 8,
    BEGIN_WITHOUT_COUNTERS = 16,
    BEGIN_WITHOUT_PIPES = 32,
    BEGIN_MEMORY = 64, /* the next byte is the number of allocations that succeed */
    BEGIN_THREAD = 128,
};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    blocks_initialize();
    without_failed_allocations = getenv("FUZZ_WITHOUT_FAILED_ALLOCATIONS") != NULL;
    console_file = memfd_create("fuzz", MFD_CLOEXEC);
    ASSERT(console_file >= 0);
    client_spare = descriptor_new(thing_new(THING_PLAIN));
    door = sockets_listen();
    for (int i = 0; i < CLIENTS; i++)
        clients[i].fd = -1;
    return 0;
}

/* The bytes of the incomplete last round upgrade, so that all other inputs mean what they did before. */
static inline void act(struct input *in)
{
    static void (*const acts[])(struct input * in) = {
        act_message, act_message, act_message, act_message,     act_message, act_answer, act_answer,
        act_answer,  act_events,  act_attach,  act_connect,     act_bytes,   act_read,   act_close,
        act_time,    act_limit,   act_policy,  act_say,         act_order,   act_order,  act_identity,
        act_failure, act_group,   act_console, act_allocations, act_claims,  act_file};
    uint8_t which = input_byte(in);
    if (which >= 256 / COUNT(acts) * COUNT(acts))
        act_upgrade(in);
    else
        acts[which % COUNT(acts)](in);
}

/* False: no memory or descriptors for a relay. */
static inline bool begin_relay(uint8_t how, struct input *in)
{
    if (how & BEGIN_MEMORY) {
        world.allocations = input_byte(in);
        world.allocations_fail = !without_failed_allocations;
    }
    world.failing[WORLD_COUNTER] = how & BEGIN_WITHOUT_COUNTERS ? EMFILE : 0;
    world.failing[WORLD_PIPE] = how & BEGIN_WITHOUT_PIPES ? EMFILE : 0;
    world.running = true;
    int error = relay_new(&control.relay, GUID);
    world.running = false;
    ASSERT(error == 0 || (error == -ENOMEM && world.allocations_fail) ||
           (error == -EMFILE && how & BEGIN_WITHOUT_PIPES));
    world.allocations_fail = false;
    return error == 0;
}

static inline void begin(uint8_t how)
{
    control.listener = FUZZ_GROUP ? 0 : -1;
    control.n_open = control.asked = 0;
    control.directories = 0;
    memset(control.n_queued, 0, sizeof(control.n_queued));
    limits = (struct relay_limits){.max_incoming_bytes = 100000,
                                   .max_pending_service_starts = 1,
                                   .max_outgoing_bytes = 100000,
                                   .max_incoming_unix_fds = 16,
                                   .max_outgoing_unix_fds = 16,
                                   .max_message_size = 1 << 20,
                                   .max_message_unix_fds = 4,
                                   .max_match_rules_per_connection = 16,
                                   .max_replies_per_connection = 8,
                                   .max_completed_connections = 8,
                                   .max_connections_per_user = 8,
                                   .max_names_per_connection = 8,
                                   .max_incomplete_connections = 8,
                                   .auth_timeout = 5000,
                                   .reply_timeout = -1,
                                   .pending_fd_timeout = 5000};
    written = n_written = 0;
    serial = 0;
    CONTROL(relay_set_limits(control.relay, &limits));
    load_policy(NULL, 7 | 1u << 12);
    if (FUZZ_GROUP) {
        fake_begin();
        fake_group.named = !(how & BEGIN_WITHOUT_PIPES); /* most kernels know names */
        CONTROL(relay_set_group(control.relay, fake_group.fd, FAKE_MEMBERS, how & BEGIN_TRUST));
    }
    if (how & BEGIN_DOOR)
        CONTROL(relay_listen(control.relay, door, 0, GUID, true, true));
    CONTROL(relay_commit(control.relay));
    for (int i = 0; how & BEGIN_PEERS && i < 3; i++)
        attach(&clients[i], (uint8_t)(128 + 2 * i));
    control_turn();
    control_turn();
}

static inline bool is_quiet(const struct bus *bus)
{
    return bus->peers.count == 0 && control.n_open == 0 && bus->incompletes.n == 0 &&
           bus->incompletes.n_above == 0 && bus->n_left == 0 && bus->users.count == 0;
}

/* All clients leave, and the control plane answers everything. */
static inline void leave(void)
{
    struct bus *bus = &control.relay->bus;
    for (int i = 0; i < CLIENTS; i++)
        client_end(&clients[i]);
    fake_group.failing = 0;
    /* with these at 0 nothing is read, not even the end of a connection */
    limits.max_incoming_bytes = limits.max_incoming_unix_fds = 1000;
    CONTROL(relay_set_limits(control.relay, &limits));
    for (uint32_t i = 0; i < WORDS_OWNED; i++)
        CONTROL_SURELY(relay_await_name(control.relay, word_names[i], false));
    for (int i = 0; i < SETTLED; i++) {
        control_turn();
        control_take(CONTROL_OPEN);
        control_answer_all();
        if (is_quiet(bus) && i > 4)
            break;
        world.now += i > 10 ? 1000000 : 0;
    }
    ASSERT(is_quiet(bus));
    catalog_check();
    ASSERT(bus->registry.names.count == 0 && bus->registry.n_claims == 0 && bus->replies.table.count == 0);
    ASSERT(bus->parking.ids.count == 0 && bus->registry.handed.count == 0);
    ASSERT(bus_matches(bus) == 0 && bus->monitors.count == 0 && bus->monitors.account->bytes == 0);
    ASSERT(bus->incompletes.n == 0 && bus->n_active == 0);
    ASSERT(list_empty(&bus->ready) && list_empty(&bus->paused) && list_empty(&bus->touched));
    ASSERT(list_empty(&bus->backlogs) && list_empty(&bus->fd_waits) && list_empty(&bus->leaving));
}

static inline void end(void)
{
    int fd;
    world.running = true;
    relay_free(control.relay);
    world.running = false;
    while ((fd = accept4(door, NULL, NULL, 0)) >= 0)
        close(fd);
    for (int i = 0; i < CLIENTS; i++)
        client_end(&clients[i]);
}

/* before: called before each action; NULL: nothing. */
static inline void act_all(struct input *in, void (*before)(void))
{
    for (int i = 0; i < ACTIONS && !input_empty(in); i++) {
        bool fail = world.allocations_fail;
        if (before)
            before();
        act(in);
        world.allocations_fail &= !fail;
    }
    world_settle();
}

static inline void run(uint8_t how, struct input *in)
{
    begin(how);
    act_all(in, NULL);
    if (!(how & BEGIN_ABRUPT_END))
        leave();
    if (how & BEGIN_THREAD)
        ASSERT(relay_start(control.relay) == 0);
    end();
}

#ifndef FUZZ_OWN_RUN
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, data + size};
    uint8_t how = input_byte(&in);
    uint32_t open = descriptors_count();
    world_begin();
    files_begin();
    if (begin_relay(how, &in))
        run(how, &in);
    world_end();
    ASSERT(descriptors_count() == open);
    return 0;
}
#endif

#endif
