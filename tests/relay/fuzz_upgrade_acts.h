/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_FUZZ_UPGRADE_ACTS_H
#define OMNIBUS_FUZZ_UPGRADE_ACTS_H

/*
 * An upgrade in the middle of an input: the relay is frozen, dumped, freed without its descriptors, and made
 * anew from the state. The state and the quotas of the new one are those of the old one, and what the clients
 * see goes on.
 */

#include "fuzz_kernel_acts.h"
#include "resume/resume_internal.h"
#include "resume_fixture.h"

#include <sys/mman.h>

#define UPGRADE_TURNS 100 /* after which a frozen relay has to be done */
#define UPGRADE_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

struct upgrade_state {
    int fd;
    const uint8_t *bytes;
    size_t size;
};

/* Answers lost connections only: calls and parked messages stay open. */
static inline void upgrade_forget_lost(void)
{
    for (uint32_t i = control.n_open; i-- > 0;) {
        if (i >= control.n_open || control.open[i].kind != RELAY_EVENT_GONE)
            continue;
        uint64_t peer = control.open[i].peer;
        control_end(i);
        control_end_calls(peer);
        control_leave_queues(peer);
        CONTROL_SURELY(relay_forget(control.relay, peer));
    }
    CONTROL(relay_commit(control.relay));
}

static inline bool upgrade_freeze(void)
{
    control.frozen = false;
    CONTROL_SURELY(relay_freeze(control.relay));
    for (int i = 0; i < UPGRADE_TURNS && !control.frozen; i++) {
        CONTROL(relay_commit(control.relay));
        control_turn();
        control_take(CONTROL_OPEN);
    }
    return control.frozen;
}

/* Dumps until it succeeds; what hinders it has to pass. Returns what the last DUMPED said. */
static inline int upgrade_dump(struct upgrade_state *state, bool failing)
{
    state->fd = memfd_create("omnibus-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ASSERT(state->fd >= 0);
    control.dumped = EAGAIN;
    for (int i = 0; i < UPGRADE_TURNS && (control.dumped == EAGAIN || control.dumped == ENOMEM); i++) {
        upgrade_forget_lost();
        control_turn();
        control_take(CONTROL_OPEN);
        struct resume_bytes names = resume_names(&control.relay->bus);
        CONTROL_SURELY(relay_dump(control.relay, state->fd, names.data, names.size));
        CONTROL(relay_commit(control.relay));
        free(names.data);
        world.allocations_fail = failing;
        control_turn();
        failing = world.allocations_fail = false;
        control_take(CONTROL_OPEN);
    }
    return control.dumped;
}

/* A standby writes the same tables after a crash, and the names, which are the control plane's otherwise. */
static inline void upgrade_salvage(const struct upgrade_state *state)
{
    struct upgrade_state crashed = {.fd = memfd_create("omnibus-state", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    struct dump_result result = {0};
    const uint8_t *before, *after;
    size_t n_before, n_after;
    ASSERT(crashed.fd >= 0);
    ASSERT(dump_tables(&control.relay->bus, crashed.fd, (const uint8_t *)"", 0, true, &result) == 0);
    ASSERT(fcntl(crashed.fd, F_ADD_SEALS, UPGRADE_SEALS) == 0);
    ASSERT(relay_state_map(crashed.fd, &crashed.bytes, &crashed.size) == 0);
    ASSERT(relay_state_section(state->bytes, state->size, RELAY_STATE_NAMES, &before, &n_before) == 0);
    ASSERT(relay_state_section(crashed.bytes, crashed.size, RELAY_STATE_NAMES, &after, &n_after) == 0);
    ASSERT(n_before == n_after);
    relay_state_unmap(crashed.bytes, crashed.size);
    close(crashed.fd);
}

static inline void upgrade_map(struct upgrade_state *state)
{
    ASSERT(fcntl(state->fd, F_ADD_SEALS, UPGRADE_SEALS) == 0);
    ASSERT(relay_state_map(state->fd, &state->bytes, &state->size) == 0);
}

static inline void upgrade_end(struct upgrade_state *state)
{
    if (state->bytes)
        relay_state_unmap(state->bytes, state->size);
    if (state->fd >= 0)
        close(state->fd);
}

static inline void upgrade_restore(const struct upgrade_state *state, bool failing)
{
    char why[256] = "";
    uint32_t open = descriptors_count();
    world.running = true;
    world.allocations_fail = failing;
    int error = relay_restore(&control.relay, state->bytes, state->size, false, why, sizeof(why));
    world.allocations_fail = false;
    if (error == -ENOMEM && failing) {
        ASSERT(descriptors_count() == open);
        error = relay_restore(&control.relay, state->bytes, state->size, false, why, sizeof(why));
    }
    world.running = false;
    if (error < 0)
        fprintf(stderr, "%s\n", why);
    ASSERT(error == 0);
}

/* All that was open is reported again. */
static inline void upgrade_renew(const struct upgrade_state *state, bool failing)
{
    struct upgrade_state again = {.fd = -1};
    uint32_t n, m;
    struct resume_account *before = resume_accounts(&control.relay->bus, &n);
    resume_forget(&control.relay->bus);
    world.running = true;
    relay_free(control.relay);
    world.running = false;
    control.n_open = 0;
    upgrade_restore(state, failing);
    ASSERT(upgrade_dump(&again, false) == 0);
    upgrade_map(&again);
    ASSERT(resume_same(state->bytes, state->size, again.bytes, again.size));
    struct resume_account *after = resume_accounts(&control.relay->bus, &m);
    ASSERT(n == m && memcmp(before, after, n * sizeof(*before)) == 0);
    upgrade_end(&again);
    free(before);
    free(after);
}

static inline void act_upgrade(struct input *in)
{
    struct upgrade_state state = {.fd = -1};
    uint8_t how = input_byte(in);
    void (*moment)(void) = world.moment;
    world.moment = NULL; /* it would be left with what is allocated here */
    world_settle();
    world.allocations = how >> 2;
    bool dissolved = FUZZ_GROUP && how & 4;
    if (dissolved)
        CONTROL_SURELY(relay_dissolve_group(control.relay));
    if (upgrade_freeze()) {
        int error = upgrade_dump(&state, how & 1 && !without_failed_allocations);
        /* events that are not answered keep others from being taken */
        ASSERT(error == 0 || (error == EOPNOTSUPP && FUZZ_GROUP && !dissolved) ||
               control.n_open == CONTROL_OPEN);
        if (error == 0) {
            upgrade_map(&state);
            upgrade_salvage(&state);
            upgrade_renew(&state, how & 2 && !without_failed_allocations);
        }
        upgrade_end(&state);
    }
    if (dissolved) {
        fake_begin();
        CONTROL(relay_begin_group(control.relay, fake_group.fd, FAKE_MEMBERS, how & 8));
    }
    CONTROL_SURELY(relay_thaw(control.relay));
    CONTROL(relay_commit(control.relay));
    control_turn();
    world.moment = moment;
}

#endif
