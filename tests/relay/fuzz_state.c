/* SPDX-License-Identifier: MIT */

/*
 * The reader of states, with any bytes. The input is a state whose sums need not be right: they are made so,
 * as are the magic and the number of sections, unless its first byte says otherwise. What is restored serves:
 * it is thawed, its clients leave, and nothing of it is left.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem, struct ucred */
#endif
#include "fuzz_control.h"
#include "resume_fixture.h"

#include "../../transport/relay/mediation/mediation.h"

#define STATE_FDS 32u /* descriptors that a state may refer to, from DESCRIPTORS_FIRST on */
#define STATE_TURNS 50

/* The bits of the first byte. */
enum { STATE_UNTOUCHED = 1, STATE_REHEARSAL = 2, STATE_WITHOUT_MEMORY = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline uint64_t state_number(const uint8_t *at, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static inline void state_repair_section(uint8_t *head, size_t size, const struct crc32 *crc)
{
    uint32_t sum = crc32_add(crc, 0, head + STATE_SECTION_HEADER, size);
    sum = crc32_add(crc, sum, head, STATE_SUMMED);
    for (unsigned i = 0; i < 4; i++)
        head[STATE_SUMMED + i] = (uint8_t)(sum >> (8 * i));
}

/* The descriptors are sockets of the fuzzer's, and lead to what they are said to. */
static inline void state_repair_descriptors(uint8_t *content, size_t size)
{
    for (size_t at = 4; at + 20 <= size; at += 20) {
        uint8_t number = content[at] % (2 * STATE_FDS);
        int fd = DESCRIPTORS_FIRST + number;
        memset(content + at, 0, 20);
        content[at] = (uint8_t)fd;
        content[at + 1] = (uint8_t)(fd >> 8);
        content[at + 4] = 1; /* the device */
        content[at + 12] = (uint8_t)(number + 1);
    }
}

/* A module would be that of the machine, whose library keeps what it allocates. */
static inline void state_repair_mediation(uint8_t *content, size_t size)
{
    if (size > 0)
        content[0] &= (uint8_t) ~(MEDIATION_APPARMOR | MEDIATION_SELINUX);
}

/* Makes all sums right, as far as there are whole sections; the last one ends with the input. */
static inline void state_repair(uint8_t *state, size_t size)
{
    struct crc32 crc;
    uint32_t n = 0;
    size_t at = STATE_HEADER;
    crc32_begin(&crc);
    while (size >= at + STATE_SECTION_HEADER) {
        uint64_t left = size - at - STATE_SECTION_HEADER, length = state_number(state + at + 8, 8);
        length = length < left ? length : left;
        for (unsigned i = 0; i < 8; i++)
            state[at + 8 + i] = (uint8_t)(length >> (8 * i));
        if (state_number(state + at, 2) == RELAY_STATE_DESCRIPTORS)
            state_repair_descriptors(state + at + STATE_SECTION_HEADER, length);
        if (state_number(state + at, 2) == RELAY_STATE_MEDIATION)
            state_repair_mediation(state + at + STATE_SECTION_HEADER, length);
        state_repair_section(state + at, length, &crc);
        at += STATE_SECTION_HEADER + length;
        n++;
    }
    memcpy(state, STATE_MAGIC, 8);
    for (int i = 0; i < 4; i++) {
        state[8 + i] = i == 0 ? STATE_FORMAT : 0;
        state[12 + i] = (uint8_t)(n >> (8 * i));
    }
}

/* Pairs of sockets, both ends of which the state may have. */
static inline void state_sockets(void)
{
    for (uint32_t i = 0; i < STATE_FDS; i++) {
        int ends[2];
        sockets_pair(ends, false);
        ASSERT(ends[0] == DESCRIPTORS_FIRST + 2 * (int)i);
    }
}

/* Closes those that the state did not have. */
static inline void state_close(void)
{
    for (int fd = DESCRIPTORS_FIRST; fd < DESCRIPTORS_FIRST + DESCRIPTORS; fd++) {
        if (descriptors[fd - DESCRIPTORS_FIRST])
            close(fd);
    }
}

static inline void state_take(void)
{
    struct relay_event event;
    world.running = true;
    while (relay_events(control.relay, &event, 1) == 1) {
        if (event.kind == RELAY_EVENT_HANDED_UP)
            CONTROL(relay_settled(control.relay));
        else if (event.kind == RELAY_EVENT_CALL)
            CONTROL(relay_resume(control.relay, event.peer));
        else if (event.kind == RELAY_EVENT_PARKED)
            CONTROL(relay_reject(control.relay, event.parked, "e.r", "no"));
        else if (event.kind == RELAY_EVENT_GONE)
            CONTROL(relay_forget(control.relay, event.peer));
        world.running = true;
    }
    world.running = false;
    CONTROL(relay_commit(control.relay));
}

static inline void state_serve(void)
{
    CONTROL(relay_thaw(control.relay));
    for (int i = 0; i < STATE_TURNS; i++) {
        state_take();
        control_turn();
        world.now += 100000;
    }
}

static inline void state_restore(const uint8_t *state, size_t size, uint8_t how)
{
    char why[256];
    const uint8_t *content;
    size_t length;
    int fds[STATE_FDS];
    state_sockets();
    int64_t listed = relay_state_descriptors(state, size, fds, STATE_FDS);
    relay_state_section(state, size, RELAY_STATE_CONTROL, &content, &length);
    world.allocations = how >> 3;
    world.allocations_fail = how & STATE_WITHOUT_MEMORY;
    world.running = true;
    int error = relay_restore(&control.relay, state, size, how & STATE_REHEARSAL, why, sizeof(why));
    world.running = world.allocations_fail = false;
    ASSERT(error <= 0 && (error == 0 || strlen(why) > 0));
    ASSERT(error < 0 || listed >= 0);
    if (error < 0)
        ASSERT(descriptors_count() == 2 * STATE_FDS);
    if (error == 0 && !(how & STATE_REHEARSAL))
        state_serve();
    world.running = true;
    if (error == 0)
        relay_free(control.relay);
    world.running = false;
    state_close();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 + STATE_HEADER)
        return 0;
    uint8_t how = data[0];
    uint8_t *state = __real_malloc(size - 1);
    ASSERT(state);
    memcpy(state, data + 1, size - 1);
    if (!(how & STATE_UNTOUCHED))
        state_repair(state, size - 1);
    world_begin();
    state_restore(state, size - 1, how);
    world_end();
    __real_free(state);
    return 0;
}
