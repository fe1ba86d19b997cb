/* SPDX-License-Identifier: MIT */
#include "receive.h"

#include "../client/clock.h"
#include "../client/process.h"
#include "state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DRIVER "org.freedesktop.DBus"
#define SYSTEMD "org.freedesktop.systemd1.Activator"
#define KEY 1200
#define UNIT_PREFIX "dbus-"
#define UNIT_SUFFIX ".service"

static void take_time(uint32_t id)
{
    uint64_t sent = atomic_load(&state->sent_at[id]), none = 0;
    if (sent)
        atomic_compare_exchange_strong(&state->took[id], &none, clock_ns() - sent);
}

/* Counts one receipt of what the key names; NO_EVENT if the plan has no such event. */
static uint32_t happened(const char *key)
{
    uint32_t id = plan_find(&plan, key);
    if (id == NO_EVENT)
        return id;
    take_time(id);
    uint32_t before = atomic_fetch_add(&state->got[id], 1);
    if (before < plan.events[id].least) {
        atomic_store(&state->last, clock_ns());
        atomic_fetch_sub(&state->events_left, 1);
    }
    if (!before)
        replay_happened(id);
    return id;
}

static void unexpected(const char *key, const struct message *m)
{
    char text[KEY];
    snprintf(text, sizeof(text), "%s", key);
    for (char *at = text; *at; at++)
        *at = *at == '\t' ? ' ' : *at;
    atomic_fetch_add(&state->unexpected, 1);
    state_remark("not in the plan: %s (%s)", text, shown(m->member ? m->member : m->error));
}

/* The connection behind a unique name of the measured bus; false if it is none of the player's. */
static bool connection_of(const char *name, uint32_t *number)
{
    if (strncmp(name, ":1.", 3))
        return false;
    unsigned long n = strtoul(name + 3, NULL, 10);
    uint32_t found = n < MOST_UNIQUE ? atomic_load(&state->connection_of[n]) : 0;
    *number = found - 1;
    return found;
}

/* Appends a tab and the text, with {N} for the unique name of a connection of the player's. */
static size_t append(char key[KEY], size_t at, const char *text)
{
    uint32_t number;
    int n = connection_of(text, &number) ? snprintf(key + at, KEY - at, "\t{%u}", number)
                                         : snprintf(key + at, KEY - at, "\t%s", text);
    if (n < 0 || (size_t)n >= KEY - at)
        die("a name is too long");
    return at + (size_t)n;
}

/* The n-th string of a body that begins with strings. */
static const char *string_of(const struct message *m, unsigned n)
{
    size_t at = 0;
    for (;; n--) {
        at += -at % 4;
        if (at + 4 > m->body_size)
            die("%s: a string is missing", shown(m->member));
        size_t size = read_u32(m->body + at);
        if (size >= m->body_size - at - 4 || m->body[at + 4 + size])
            die("%s: a malformed string", shown(m->member));
        if (!n)
            return (const char *)m->body + at + 4;
        at += 4 + size + 1;
    }
}

static unsigned long unique_number(const char *name)
{
    unsigned long n = strncmp(name, ":1.", 3) ? MOST_UNIQUE : strtoul(name + 3, NULL, 10);
    return n < MOST_UNIQUE ? n : MOST_UNIQUE;
}

/* Counts the arrivals of a connection that others have heard of before it had the answer to its Hello itself.
 */
static void count_early(unsigned long n)
{
    char key[64];
    uint32_t number = atomic_load(&state->connection_of[n]);
    snprintf(key, sizeof(key), "n\t{%u}\t\t{%u}", number - 1, number - 1);
    for (uint32_t left = number ? atomic_exchange(&state->early[n], 0) : 0; left; left--)
        if (happened(key) == NO_EVENT && state->go)
            atomic_fetch_add(&state->unexpected, 1);
}

static void welcome(uint32_t number, const struct message *m)
{
    const char *name = string_of(m, 0);
    unsigned long n = unique_number(name);
    if (n == MOST_UNIQUE || strlen(name) >= NAME_SIZE)
        die("Hello: not a unique name of this bus: %s", name);
    snprintf(state->names[number].text, NAME_SIZE, "%s", name);
    atomic_store(&state->connection_of[n], number + 1);
    count_early(n);
}

static void check_answer(const struct event *event, uint32_t number, const struct message *m)
{
    const char *got = m->type == RETURN ? "r" : shown(m->error);
    if (!*event->answer || !strcmp(event->answer, got) || (!strcmp(event->answer, "e") && m->type == ERROR))
        return;
    atomic_fetch_add(&state->different, 1);
    state_remark("line %u: the answer to connection %u is %s, recorded was %s", event->line, number, got,
                 event->answer);
}

static void answer(struct peer *peer, uint32_t number, const struct message *m)
{
    char key[64];
    snprintf(key, sizeof(key), "r\t%u\t%u", number, m->reply_serial);
    uint32_t id = plan_find(&plan, key);
    if (id == NO_EVENT) {
        unexpected(key, m);
        return;
    }
    check_answer(&plan.events[id], number, m);
    if (id == peer->hello && peer->phase == AUTHENTICATING) {
        welcome(number, m);
        peer->phase = OPEN;
    }
    bool of_start = !atomic_load(&state->got[id]) && atomic_load(&state->start_left) && !state->go;
    happened(key);
    if (of_start)
        atomic_fetch_sub(&state->start_left, 1);
}

static void start(const char *name, const struct message *m)
{
    char key[KEY];
    for (unsigned n = 1;; n++) {
        snprintf(key, sizeof(key), "u\t%.512s\t%u", name, n);
        uint32_t id = plan_find(&plan, key);
        if (id == NO_EVENT) {
            unexpected(key, m);
            return;
        }
        if (!atomic_load(&state->got[id])) {
            happened(key);
            return;
        }
    }
}

/* A unit is named after its name, see ../replay.py. */
static void activation_request(const struct message *m)
{
    char name[256];
    const char *unit = string_of(m, 0);
    size_t size = strlen(unit), prefix = strlen(UNIT_PREFIX), suffix = strlen(UNIT_SUFFIX);
    if (size <= prefix + suffix || strncmp(unit, UNIT_PREFIX, prefix) || size >= sizeof(name))
        die("ActivationRequest for %s", unit);
    snprintf(name, sizeof(name), "%.*s", (int)(size - prefix - suffix), unit + prefix);
    start(name, m);
}

static void signal_of_bus(struct peer *peer, uint32_t number, const struct message *m)
{
    char key[KEY];
    if (same(m->member, "NameOwnerChanged")) {
        size_t at = (size_t)snprintf(key, sizeof(key), "n");
        for (unsigned i = 0; i < 3; i++)
            at = append(key, at, string_of(m, i));
        peer->broadcasts++;
        unsigned long n = unique_number(string_of(m, 0));
        uint32_t known;
        if (n < MOST_UNIQUE && !connection_of(string_of(m, 0), &known)) {
            atomic_fetch_add(&state->early[n], 1);
            count_early(n);
            return;
        }
    } else if (same(m->member, "NameAcquired")) {
        size_t at = (size_t)snprintf(key, sizeof(key), "a\t%u", number);
        append(key, at, string_of(m, 0));
    } else if (same(m->interface, SYSTEMD)) {
        activation_request(m);
        return;
    } else {
        return; /* NameLost, which most that lose a name do not live to see */
    }
    if (happened(key) == NO_EVENT && state->go && strncmp(key, "a", 1))
        unexpected(key, m);
}

static void message(struct peer *peer, uint32_t number, const struct message *m)
{
    char key[64];
    uint32_t sender;
    if (!m->sender && number < plan.n_connections)
        die("a message without a sender");
    if (m->type == RETURN || m->type == ERROR) {
        answer(peer, number, m);
    } else if (!strcmp(m->sender, DRIVER)) {
        signal_of_bus(peer, number, m);
    } else if (connection_of(m->sender, &sender)) {
        snprintf(key, sizeof(key), "m\t%u\t%u", sender, m->serial);
        if (m->type == SIGNAL && !m->destination)
            peer->broadcasts++;
        if (happened(key) == NO_EVENT)
            unexpected(key, m);
    } else {
        die("a message from %s, which is none of the player's", m->sender);
    }
    atomic_fetch_add(&state->received, 1);
}

bool receive_all(struct peer *peer, uint32_t number)
{
    struct message m;
    size_t want, at = 0;
    while (message_parse(&m, peer->in + at, peer->size - at, &want)) {
        message(peer, number, &m);
        at += m.size;
    }
    peer_consume(peer, at);
    return at;
}

void receive_closed(uint32_t number)
{
    char key[32];
    snprintf(key, sizeof(key), "x\t%u", number);
    happened(key);
}

int receive_open_starts(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        die("%s: too long", path);
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (void *)&address, sizeof(address)) < 0)
        die("%s: %s", path, strerror(errno));
    return fd;
}

void receive_start(int fd)
{
    char name[256];
    ssize_t n = recv(fd, name, sizeof(name) - 1, 0);
    if (n <= 0)
        return;
    name[n] = 0;
    start(name, &(struct message){0});
}
