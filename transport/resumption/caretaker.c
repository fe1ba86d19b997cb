/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create */
#endif
#include "resumption/caretaker.h"

#include "base/clock.h"
#include "base/sealed.h"
#include "resume/resume_internal.h"
#include "resumption/known_names.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define CARETAKER_EVENTS 64u
#define CARETAKER_TIME 3000 /* milliseconds */

/* A connection that was handed up, with copies of what its event refers to. */
struct kept_handshake {
    struct relay_event view;
    uint8_t *text;
    int *fds;
};

struct caretaker {
    struct relay *relay;
    const struct state_view *state; /* that the data plane was resumed from */
    struct known_names names;
    struct kept_handshake *handshakes;
    uint32_t n_handshakes, room;
    bool frozen, answered;
    int error; /* of the answer */
    char why[128];
};

static int keep_handshake(struct caretaker *c, const struct relay_event *event)
{
    if (c->n_handshakes == c->room) {
        uint32_t room = c->room == 0 ? 16 : 2 * c->room;
        struct kept_handshake *grown = realloc(c->handshakes, room * sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        c->handshakes = grown;
        c->room = room;
    }
    struct kept_handshake *one = &c->handshakes[c->n_handshakes];
    *one = (struct kept_handshake){.view = *event};
    one->text = malloc(event->body_size + 1u);
    one->fds = calloc(event->n_fds + 1u, sizeof(*one->fds));
    c->n_handshakes++;
    if (!one->text || !one->fds)
        return -ENOMEM;
    if (event->body_size > 0)
        memcpy(one->text, event->body, event->body_size);
    for (uint32_t i = 0; i < event->n_fds; i++)
        one->fds[i] = event->fds[i];
    return 0;
}

/* Releases the names of a connection, the latest request first, and forgets it. */
static int forget(struct caretaker *c, uint64_t peer)
{
    const char *name;
    int error = 0;
    while (error == 0 && (name = known_names_latest(&c->names, peer))) {
        error = relay_leave_queue(c->relay, name, peer);
        known_names_leave(&c->names, name, peer);
    }
    return error < 0 ? error : relay_forget(c->relay, peer);
}

static int handle(struct caretaker *c, const struct relay_event *event)
{
    switch (event->kind) {
    case RELAY_EVENT_NAMED:
        return known_names_give(&c->names, event->destination, event->peer, event->flags);
    case RELAY_EVENT_RELEASED:
        known_names_leave(&c->names, event->destination, event->peer);
        return 0;
    case RELAY_EVENT_GONE:
        return forget(c, event->peer);
    case RELAY_EVENT_HANDED_UP:
        return keep_handshake(c, event);
    case RELAY_EVENT_FROZEN:
        c->frozen = true;
        return 0;
    case RELAY_EVENT_DUMPED:
        c->answered = true;
        c->error = -(int)event->serial;
        snprintf(c->why, sizeof(c->why), "%.*s", (int)event->body_size, (const char *)event->body);
        return 0;
    case RELAY_EVENT_LOG:
        dprintf(STDERR_FILENO, "omnibusd[%d]: %.*s\n", getpid(), (int)event->body_size,
                (const char *)event->body);
        return 0;
    default: /* calls and parked messages stay in the data plane; the rest needs nothing */
        return 0;
    }
}

/* Applies commands, and handles all events. */
static int turn(struct caretaker *c)
{
    struct relay_event events[CARETAKER_EVENTS];
    int error = relay_commit(c->relay);
    relay_turn(c->relay);
    for (uint32_t n; error == 0 && (n = relay_events(c->relay, events, CARETAKER_EVENTS)) > 0;) {
        for (uint32_t i = 0; i < n && error == 0; i++)
            error = handle(c, &events[i]);
        if (error == 0)
            error = relay_commit(c->relay);
    }
    return error;
}

static void put_descriptor(struct state_writer *w, int fd)
{
    uint64_t device = 0, inode = 0;
    if (!descriptor_identity(fd, &device, &inode) && w->error == 0)
        w->error = -errno;
    state_put32(w, (uint32_t)fd);
    state_put64(w, device);
    state_put64(w, inode);
}

static void put_handshakes(struct caretaker *c, struct state_writer *w)
{
    state_put32(w, c->n_handshakes);
    for (uint32_t i = 0; i < c->n_handshakes; i++) {
        const struct kept_handshake *one = &c->handshakes[i];
        state_put64(w, one->view.peer);
        state_put32(w, one->view.listener);
        state_put64(w, (uint64_t)one->view.began);
        state_put64(w, one->view.parked);
        state_put_bytes(w, one->text, one->view.body_size);
        state_put32(w, 1 + one->view.n_fds);
        put_descriptor(w, one->view.fd);
        for (uint32_t k = 0; k < one->view.n_fds; k++)
            put_descriptor(w, one->fds[k]);
    }
}

static void put_sections(struct caretaker *c, struct state_writer *w)
{
    const struct state_place *names = &c->state->places[RELAY_STATE_NAMES];
    const struct state_place *control = &c->state->places[RELAY_STATE_CONTROL];
    state_section_begin(w, RELAY_STATE_NAMES, names->version, true);
    known_names_put(&c->names, w);
    state_section_end(w);
    state_section_begin(w, RELAY_STATE_HANDED_UP, 1, true);
    put_handshakes(c, w);
    state_section_end(w);
    if (control->content)
        state_append(w, control->content - STATE_SECTION_HEADER, control->size + STATE_SECTION_HEADER, 1);
}

/* Asks for the state, with the sections of the control plane as they are now. */
static int ask(struct caretaker *c, int fd)
{
    struct state_writer *w = malloc(sizeof(*w));
    uint64_t size = 0;
    c->answered = false;
    if (!w)
        return -ENOMEM;
    /* The file is written twice: for a moment it has these sections, which are read back. */
    state_write_begin(w, fd);
    put_sections(c, w);
    int error = state_write_end(w, &size);
    free(w);
    uint8_t *sections = MAP_FAILED;
    if (error == 0)
        sections = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (error < 0 || sections == MAP_FAILED)
        return error < 0 ? error : -errno;
    error = relay_dump(c->relay, fd, sections + STATE_HEADER, (size_t)size - STATE_HEADER);
    munmap(sections, (size_t)size);
    return error;
}

/* As Freezer does in daemon/upgrade/freezer.py. */
static int write_state(struct caretaker *c, int fd)
{
    int64_t end = clock_now() + CARETAKER_TIME;
    int error = relay_freeze(c->relay);
    while (error == 0 && !c->frozen && clock_now() < end)
        error = turn(c);
    while (error == 0 && clock_now() < end) {
        error = ask(c, fd);
        while (error == 0 && !c->answered && clock_now() < end)
            error = turn(c);
        if (error == 0 && c->answered && c->error != -EAGAIN)
            return c->error;
    }
    return error < 0 ? error : -ETIME;
}

/* Named and sealed as daemon/upgrade/memfd.py does. */
static int memfd_new(void)
{
    const char *name = SEALED_NAME;
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | 8u /* MFD_NOEXEC_SEAL, Linux 6.3 */);
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd < 0 ? -errno : fd;
}

static int seal(int fd)
{
    return fcntl(fd, F_ADD_SEALS, SEALED_SEALS) < 0 ? -errno : 0;
}

static void caretaker_end(struct caretaker *c)
{
    known_names_free(&c->names);
    for (uint32_t i = 0; i < c->n_handshakes; i++) {
        free(c->handshakes[i].text);
        free(c->handshakes[i].fds);
    }
    free(c->handshakes);
}

int caretaker_write(struct relay *relay, const uint8_t *state, size_t size, char *why, size_t why_size)
{
    struct state_view view;
    struct caretaker c = {.relay = relay, .state = &view};
    int error = state_open(&view, state, size, false, why, why_size);
    if (error < 0)
        return error;
    struct state_reader names = state_section(&view, RELAY_STATE_NAMES);
    int fd = memfd_new();
    error = fd < 0 ? fd : known_names_read(&c.names, &names);
    if (error == 0)
        error = write_state(&c, fd);
    if (error == 0)
        error = seal(fd);
    if (error < 0)
        snprintf(why, why_size, "%s%s%s", strerror(-error), c.why[0] ? ": " : "", c.why);
    caretaker_end(&c);
    if (error < 0 && fd >= 0)
        close(fd);
    return error < 0 ? error : fd;
}
