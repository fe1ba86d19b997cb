/* SPDX-License-Identifier: MIT */
#include "replay.h"

#include "../client/clock.h"
#include "../client/marks.h"
#include "../client/process.h"
#include "body.h"
#include "peer.h"
#include "receive.h"
#include "state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 64
#define GRACE 20000000u /* nanoseconds in which a message too many arrives */
#define STUCK 10u       /* connections that are named when the deadline has passed */

static struct {
    struct peer *peers;
    uint32_t process;
    int poll, starts;
    uint32_t timed; /* connections that wait for a time */
} self;

static int wake_fd[MOST_PROCESSES];
static uint64_t *foreign; /* of each event, the processes in which a connection waits for it */

void replay_prepare(void)
{
    foreign = calloc(plan.n_events + 1, sizeof(*foreign));
    if (!foreign)
        die("out of memory");
    for (uint32_t i = 0; i < plan.n_ops; i++)
        for (uint32_t j = 0; j < plan.ops[i].n_waits; j++)
            foreign[plan.ops[i].waits[j]] |= 1ull << (plan.ops[i].connection % settings.processes);
    for (uint32_t i = 0; i < settings.processes; i++)
        if ((wake_fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
            die("eventfd: %s", strerror(errno));
    self.starts = settings.starts ? receive_open_starts(settings.starts) : -1;
}

void replay_wake(uint32_t process)
{
    uint64_t one = 1;
    if (write(wake_fd[process], &one, sizeof(one)) < 0 && errno != EAGAIN)
        die("eventfd: %s", strerror(errno));
}

static void wake_all(void)
{
    for (uint32_t i = 0; i < settings.processes; i++)
        if (i != self.process)
            replay_wake(i);
}

static void watch(uint32_t number, int operation)
{
    struct peer *peer = &self.peers[number];
    peer->watched_out = peer_pending(peer);
    struct epoll_event event = {.events = EPOLLIN | (peer->watched_out ? EPOLLOUT : 0), .data.u32 = number};
    if (epoll_ctl(self.poll, operation, peer->fd, &event) < 0)
        die("epoll_ctl: %s", strerror(errno));
}

static uint64_t due(const struct op *op)
{
    return atomic_load(&state->go) + (uint64_t)((double)op->t * 1e3 / settings.speed);
}

/* Whether the op may be done now; if not, something will call advance() again. */
static bool ready(uint32_t number, const struct op *op)
{
    struct peer *peer = &self.peers[number];
    for (; peer->wait < op->n_waits; peer->wait++) {
        struct event *event = &plan.events[op->waits[peer->wait]];
        if (atomic_load(&state->got[op->waits[peer->wait]]))
            continue;
        if (!peer->listed) {
            peer->listed = true;
            peer->next_waiting = event->waiting;
            event->waiting = number;
        }
        return false;
    }
    if (peer->broadcasts < op->broadcasts)
        return false;
    if (settings.speed > 0 && !op->start && clock_ns() < due(op)) {
        self.timed += !peer->timed;
        peer->timed = true;
        return false;
    }
    return true;
}

static void perform(uint32_t number, const struct op *op)
{
    struct peer *peer = &self.peers[number];
    if (op->kind == 'H') {
        peer_connect(peer, settings.address);
        peer->hello = op->reply;
        watch(number, EPOLL_CTL_ADD);
        return;
    }
    if (op->kind == 'X') {
        peer->phase = CLOSING;
        shutdown(peer->fd, SHUT_WR);
        return;
    }
    const struct buffer *message = body_message(op, state->names[number].text);
    if (op->own != NO_EVENT) /* what a client answers is timed from its own message on */
        atomic_store(&state->sent_at[op->own], clock_ns());
    if (op->reply != NO_EVENT && op->own == NO_EVENT)
        atomic_store(&state->sent_at[op->reply], clock_ns());
    peer_send(peer, message->data, message->size, op->fds);
    if (peer_pending(peer) != peer->watched_out)
        watch(number, EPOLL_CTL_MOD);
    atomic_fetch_add(&state->sent, 1);
}

/* Does all of a connection's ops that wait for nothing. */
static void advance(uint32_t number)
{
    struct peer *peer = &self.peers[number];
    while (peer->op < plan.n_ops) {
        const struct op *op = &plan.ops[peer->op];
        if (!op->start && !atomic_load(&state->go))
            return;
        if (op->kind != 'H' && peer->phase != OPEN) /* Hello is under way */
            return;
        if (!ready(number, op))
            return;
        self.timed -= peer->timed;
        peer->timed = false;
        peer->wait = 0;
        peer->op = op->next;
        perform(number, op);
        if (atomic_fetch_sub(&state->ops_left, 1) == 1)
            wake_all();
    }
}

static void advance_all(void)
{
    for (uint32_t i = 0; i < plan.n_events; i++)
        plan.events[i].waiting = NO_EVENT;
    for (uint32_t i = self.process; i < plan.n_connections; i += settings.processes) {
        self.peers[i].listed = false;
        if (self.peers[i].phase != CLOSED)
            advance(i);
    }
}

/* Advances the connections that wait for an event, at its first receipt. */
void replay_happened(uint32_t id)
{
    struct event *event = &plan.events[id];
    uint32_t number = event->waiting;
    event->waiting = NO_EVENT;
    while (number != NO_EVENT) {
        uint32_t next = self.peers[number].next_waiting;
        self.peers[number].listed = false;
        advance(number);
        number = next;
    }
    for (uint32_t i = 0; settings.processes > 1 && i < settings.processes; i++)
        if (i != self.process && foreign[id] & 1ull << i)
            replay_wake(i);
}

static void greet(uint32_t number)
{
    struct peer *peer = &self.peers[number];
    static const char *const answers[] = {"OK ", "AGREE_UNIX_FD"};
    char line[256];
    while (peer->phase == AUTHENTICATING && peer->lines < 2 && peer_line(peer, line, sizeof(line))) {
        if (strncmp(line, answers[peer->lines], strlen(answers[peer->lines])))
            die("authentication: %s", line);
        if (!peer->lines++) {
            peer_send(peer, "NEGOTIATE_UNIX_FD\r\n", 19, 0);
            continue;
        }
        peer_send(peer, "BEGIN\r\n", 7, 0);
        struct op hello = plan.ops[plan.first[number]];
        hello.dest = hello.interface = "org.freedesktop.DBus";
        hello.path = "/org/freedesktop/DBus";
        const struct buffer *message = body_message(&hello, ":1.0");
        if (peer->hello != NO_EVENT)
            atomic_store(&state->sent_at[peer->hello], clock_ns());
        peer_send(peer, message->data, message->size, 0);
        atomic_fetch_add(&state->sent, 1);
    }
}

static void read_peer(uint32_t number)
{
    struct peer *peer = &self.peers[number];
    if (!peer_receive(peer)) {
        if (peer->phase != CLOSING)
            die("the bus closed connection %u", number);
        peer_close(peer);
        receive_closed(number);
        return;
    }
    if (peer->phase == AUTHENTICATING && peer->lines < 2)
        greet(number);
    if (peer->lines == 2 && receive_all(peer, number))
        advance(number);
}

static void handle(const struct epoll_event *event)
{
    uint32_t number = event->data.u32;
    uint64_t count;
    if (number == NO_EVENT) {
        if (read(wake_fd[self.process], &count, sizeof(count)) > 0)
            advance_all();
    } else if (number == NO_EVENT - 1) {
        receive_start(self.starts);
    } else {
        struct peer *peer = &self.peers[number];
        if (event->events & EPOLLOUT) {
            peer_flush(peer);
            if (!peer_pending(peer))
                watch(number, EPOLL_CTL_MOD);
        }
        if (event->events & ~(uint32_t)EPOLLOUT)
            read_peer(number);
    }
}

static const char *event_text(uint32_t id)
{
    static char text[600];
    char key[512];
    snprintf(key, sizeof(key), "%s", plan.events[id].key);
    for (char *at = key; *at; at++)
        *at = *at == '\t' ? ' ' : *at;
    snprintf(text, sizeof(text), "line %u (%s)", plan.events[id].line, key);
    return text;
}

/* Says who waits for what. */
static void report_stuck(void)
{
    uint32_t named = 0;
    for (uint32_t i = self.process; i < plan.n_connections && named < STUCK; i += settings.processes) {
        const struct peer *peer = &self.peers[i];
        if (peer->op >= plan.n_ops || peer->phase == CLOSED)
            continue;
        const struct op *op = &plan.ops[peer->op];
        const char *what = "for its Hello";
        if (peer->wait < op->n_waits)
            what = event_text(op->waits[peer->wait]);
        else if (peer->broadcasts < op->broadcasts)
            what = "more broadcasts";
        fprintf(stderr, "player: connection %u, line %u (%c %s) waits for %s\n", i, op->line, op->kind,
                op->member ? op->member : "", what);
        named++;
    }
    for (uint32_t i = 0; i < plan.n_events && named < STUCK && !self.process; i++) {
        if (atomic_load(&state->got[i]) >= plan.events[i].least)
            continue;
        fprintf(stderr, "player: %s was received %u of %u times\n", event_text(i), state->got[i],
                plan.events[i].least);
        named++;
    }
}

static void add_to_poll(int fd, uint32_t number)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = number};
    if (epoll_ctl(self.poll, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl: %s", strerror(errno));
}

/* Milliseconds until the next time that an op waits for, rounded down: the last one is spent awake. */
static int until_due(uint64_t now)
{
    uint64_t first = now + 100000000u;
    for (uint32_t i = self.process; self.timed && i < plan.n_connections; i += settings.processes)
        if (self.peers[i].timed && due(&plan.ops[self.peers[i].op]) < first)
            first = due(&plan.ops[self.peers[i].op]);
    return first > now ? (int)((first - now) / 1000000u) : 0;
}

static void advance_timed(void)
{
    uint64_t now = clock_ns();
    for (uint32_t i = self.process; self.timed && i < plan.n_connections; i += settings.processes)
        if (self.peers[i].timed && due(&plan.ops[self.peers[i].op]) <= now)
            advance(i);
}

void replay_run(uint32_t process)
{
    struct epoll_event events[BATCH];
    self.process = process;
    self.poll = epoll_create1(EPOLL_CLOEXEC);
    self.peers = calloc(plan.n_connections, sizeof(*self.peers));
    if (self.poll < 0 || !self.peers)
        die("out of memory or descriptors");
    for (uint32_t i = 0; i < plan.n_connections; i++)
        self.peers[i] = (struct peer){.fd = -1, .op = plan.first[i], .hello = NO_EVENT};
    add_to_poll(wake_fd[process], NO_EVENT);
    if (self.starts >= 0 && !process)
        add_to_poll(self.starts, NO_EVENT - 1);
    uint64_t begin = clock_ns();
    advance_all();
    for (uint64_t grace = 0, now; !grace || clock_ns() < grace;) {
        int n = epoll_wait(self.poll, events, BATCH, settings.speed > 0 ? until_due(clock_ns()) : 10);
        for (int i = 0; i < n; i++)
            handle(&events[i]);
        if (self.timed)
            advance_timed();
        now = clock_ns();
        if (!grace && state_finished()) {
            if (!process)
                mark_end();
            grace = now + GRACE;
        }
        if (atomic_load(&state->failed))
            exit(1);
        if (state_started()) /* --hold may take long */
            begin = atomic_load(&state->go) ? atomic_load(&state->go) : now;
        if (now > begin + clock_span(settings.deadline)) {
            report_stuck();
            die("not finished after %g s", settings.deadline);
        }
    }
}
