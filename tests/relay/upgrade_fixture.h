/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TEST_UPGRADE_FIXTURE_H
#define OMNIBUS_TEST_UPGRADE_FIXTURE_H

/* A plane whose data plane is replaced by one that is made from its state, while the clients stay connected.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create */
#endif
#include "plane_fixture.h"
#include "resume_fixture.h"

#include "../../transport/relay/api/relay_internal.h"

#include <sys/mman.h>

#define UPGRADE_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* A state, mapped. */
struct upgrade_state {
    const uint8_t *bytes;
    size_t size;
    int fd;
};

/* Takes all events, answering none; keeps the latest of the kind. */
static inline bool upgrade_take(struct plane *p, uint32_t kind)
{
    for (;;) {
        struct pollfd poller = {.fd = relay_event_fd(p->relay), .events = POLLIN};
        while (relay_events(p->relay, &p->event, 1) == 1) {
            if (p->event.kind == kind)
                return true;
        }
        if (poll(&poller, 1, PLANE_DEADLINE) <= 0)
            return CHECK(false && "no event came in time");
    }
}

static inline bool upgrade_freeze(struct plane *p)
{
    CHECK_EQUAL(relay_freeze(p->relay), 0);
    CHECK_EQUAL(relay_commit(p->relay), 0);
    return upgrade_take(p, RELAY_EVENT_FROZEN);
}

/* Takes what is left, so that no event waits. */
static inline void upgrade_drain(struct plane *p)
{
    struct relay_event event;
    while (relay_events(p->relay, &event, 1) == 1)
        continue;
    CHECK_EQUAL(relay_commit(p->relay), 0);
}

/* Dumps the frozen data plane into a file. Returns what DUMPED says: 0 or an errno. */
static inline int upgrade_dump_to(struct plane *p, int fd)
{
    upgrade_drain(p);
    struct resume_bytes names = resume_names(&p->relay->bus);
    CHECK_EQUAL(relay_dump(p->relay, fd, names.data, names.size), 0);
    CHECK_EQUAL(relay_commit(p->relay), 0);
    free(names.data);
    return upgrade_take(p, RELAY_EVENT_DUMPED) ? (int)p->event.serial : -1;
}

static inline bool upgrade_map(struct upgrade_state *state)
{
    CHECK_EQUAL(fcntl(state->fd, F_ADD_SEALS, UPGRADE_SEALS), 0);
    return CHECK_EQUAL(relay_state_map(state->fd, &state->bytes, &state->size), 0);
}

/* Keeps the state as a seed of fuzz_state, in the directory STATE_CORPUS. */
static inline void upgrade_keep_seed(const struct upgrade_state *state)
{
    static int n;
    char path[4096];
    const char *directory = getenv("STATE_CORPUS");
    if (!directory)
        return;
    snprintf(path, sizeof(path), "%s/%s.%d", directory, program_invocation_short_name, n++);
    FILE *file = fopen(path, "w");
    CHECK(file && fputc(0, file) == 0 && fwrite(state->bytes, state->size, 1, file) == 1);
    if (file)
        fclose(file);
}

static inline bool upgrade_dump(struct plane *p, struct upgrade_state *state)
{
    state->fd = memfd_create("omnibus-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    bool done = CHECK(state->fd >= 0) && CHECK_EQUAL(upgrade_dump_to(p, state->fd), 0) && upgrade_map(state);
    if (done)
        upgrade_keep_seed(state);
    return done;
}

static inline void upgrade_end(struct upgrade_state *state)
{
    if (state->bytes)
        relay_state_unmap(state->bytes, state->size);
    if (state->fd >= 0)
        close(state->fd);
}

/* Ends the data plane as execve would: the descriptors stay open. */
static inline void upgrade_leave(struct plane *p)
{
    resume_forget(&p->relay->bus);
    relay_free(p->relay);
    p->relay = NULL;
}

/* Makes a frozen data plane from the state, and starts it. */
static inline bool upgrade_enter(struct plane *p, const struct upgrade_state *state)
{
    char why[512] = "";
    if (!CHECK_EQUAL(relay_restore(&p->relay, state->bytes, state->size, false, why, sizeof(why)), 0)) {
        printf("# %s\n", why);
        return false;
    }
    return CHECK_EQUAL(relay_start(p->relay), 0);
}

static inline void upgrade_thaw(struct plane *p)
{
    CHECK_EQUAL(relay_thaw(p->relay), 0);
    CHECK_EQUAL(relay_commit(p->relay), 0);
}

static inline void upgrade_compare(struct resume_account *before, uint32_t n_before, const struct bus *bus)
{
    uint32_t n;
    struct resume_account *after = resume_accounts(bus, &n);
    CHECK_EQUAL(n, n_before);
    for (uint32_t i = 0; i < n && i < n_before; i++)
        CHECK(memcmp(&before[i], &after[i], sizeof(*after)) == 0);
    free(after);
    free(before);
}

/*
 * Replaces the data plane, which is frozen then, by one made from its state, whose events have not been
 * taken. The state of the new one is the same, and so are all quotas.
 */
static inline bool plane_upgrade_frozen(struct plane *p)
{
    struct upgrade_state one = {.fd = -1}, two = {.fd = -1};
    uint32_t n = 0;
    struct resume_account *before = NULL;
    bool done = upgrade_freeze(p) && upgrade_dump(p, &one);
    if (done) {
        before = resume_accounts(&p->relay->bus, &n);
        upgrade_leave(p);
        done = upgrade_enter(p, &one) && upgrade_dump(p, &two) &&
               CHECK(resume_same(one.bytes, one.size, two.bytes, two.size));
    }
    if (done)
        upgrade_compare(before, n, &p->relay->bus);
    /* once more, for events that the comparison took */
    if (done) {
        upgrade_leave(p);
        done = upgrade_enter(p, &one);
    }
    upgrade_end(&one);
    upgrade_end(&two);
    return done;
}

/* The same, and it goes on; the first events are ADMITTED of each peer. */
static inline bool plane_upgrade(struct plane *p, uint32_t n_peers)
{
    if (!plane_upgrade_frozen(p))
        return false;
    for (uint32_t i = 0; i < n_peers; i++)
        plane_event(p, RELAY_EVENT_ADMITTED);
    upgrade_thaw(p);
    return true;
}

#endif
