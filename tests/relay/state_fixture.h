/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TEST_STATE_FIXTURE_H
#define OMNIBUS_TEST_STATE_FIXTURE_H

/* A state whose sections a test can replace, and what is refused of it. */

#include "upgrade_fixture.h"

/* A bus with two connections, of which the second has not sent Hello, and its state as separate sections. */
struct made {
    struct plane p;
    struct upgrade_state state;
    struct resume_bytes content[RELAY_STATE_END];
    bool has[RELAY_STATE_END];
    struct resume_bytes more; /* sections behind these */
};

static inline uint64_t number_at(const uint8_t *at, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static inline void make_open(struct made *m)
{
    memset(m, 0, sizeof(*m));
    plane_open(&m->p);
    m->state.fd = -1;
    plane_connect(&m->p, 0);
    plane_attach(&m->p, 1);
    plane_settle(&m->p);
    if (!upgrade_freeze(&m->p) || !upgrade_dump(&m->p, &m->state))
        abort();
    size_t at = STATE_HEADER;
    while (at < m->state.size) {
        const uint8_t *head = m->state.bytes + at;
        uint32_t type = (uint32_t)number_at(head, 2);
        size_t size = (size_t)number_at(head + 8, 8);
        resume_put(&m->content[type], head + STATE_SECTION_HEADER, size);
        m->has[type] = true;
        at += STATE_SECTION_HEADER + size;
    }
}

static inline void make_close(struct made *m)
{
    for (uint32_t i = 0; i < RELAY_STATE_END; i++)
        free(m->content[i].data);
    free(m->more.data);
    upgrade_end(&m->state);
    plane_close(&m->p);
}

/* Replaces the content of a section. */
static inline struct resume_bytes *make_new(struct made *m, uint32_t type)
{
    m->content[type].size = 0;
    m->has[type] = true;
    return &m->content[type];
}

static inline struct resume_bytes make_state(const struct made *m)
{
    struct resume_bytes all = {0};
    uint32_t n = 0;
    for (uint32_t i = 0; i < RELAY_STATE_END; i++)
        n += m->has[i];
    resume_put(&all, STATE_MAGIC, 8);
    resume_number(&all, STATE_FORMAT, 4);
    resume_number(&all, n + (m->more.size > 0), 4);
    for (uint16_t i = 0; i < RELAY_STATE_END; i++) {
        struct resume_bytes copy = {0};
        if (!m->has[i])
            continue;
        resume_put(&copy, m->content[i].data, m->content[i].size);
        copy = resume_section(i, 1, STATE_CRITICAL, copy);
        resume_put(&all, copy.data, copy.size);
        free(copy.data);
    }
    resume_put(&all, m->more.data, m->more.size);
    return all;
}

static inline int open_descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* True if the state is refused with a text that has this in it, and no descriptor was closed or left open. */
static inline bool refused(const uint8_t *bytes, size_t size, bool rehearsal, const char *text)
{
    char why[512] = "";
    struct relay *relay = NULL;
    int before = open_descriptors();
    int error = relay_restore(&relay, bytes, size, rehearsal, why, sizeof(why));
    bool right = CHECK(error < 0) && CHECK(strstr(why, text)) && CHECK_EQUAL(open_descriptors(), before);
    if (!right)
        printf("# %d: %s instead of %s\n", error, why, text);
    if (error == 0)
        relay_free(relay);
    return right;
}

static inline bool make_refused(const struct made *m, const char *text)
{
    struct resume_bytes all = make_state(m);
    bool right = refused(all.data, all.size, false, text);
    free(all.data);
    return right;
}

#endif
