/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TEST_SALVAGE_FIXTURE_H
#define OMNIBUS_TEST_SALVAGE_FIXTURE_H

/*
 * A bus that ends at any moment, and what its standby makes of it. A child that shares the descriptors plays
 * the bus: it ends before its n-th allocation, or before or after its n-th read or write, for each n. There
 * it plays the standby, too, with the tables as they are at that moment; the parent goes on with the state.
 */

#include "upgrade_fixture.h"

#include "emulated.h"

#include "../../transport/relay/resume/salvage.h"

#include <signal.h>
#include <sys/wait.h>

#define BUS "org.freedesktop.DBus"
#define EMULATED "an emulator has no processes that share descriptors alone"
#define BIG_SIZE 60000u
#define SMALL_BUFFER 4096
#define SIGNALS 3
#define CALLS 8
#define LONG_SIZE 300000u /* read into a buffer of its own, and more than a socket takes */
#define TURNS 30
#define SURVIVED 2 /* exit status of a bus that has not reached the moment */

static struct {
    struct bus *bus;                    /* NULL: no crash is wanted, as in the parent */
    long left;                          /* moments before the crash */
    int state;                          /* the file for the state */
    void (*half_done)(struct bus *bus); /* what the bus was doing there, which no call shows; NULL: nothing */
    void (*half_way)(struct bus *bus);  /* what happens between two of its turns; NULL: nothing */
    void (*forget)(struct bus *bus);    /* lets go of what the child has closed; NULL: nothing */
} crash;

static bool survived; /* the moment was not reached: the bus ended idle */

static void crash_here(void)
{
    struct dump_result result = {0};
    struct bus *bus = crash.bus;
    crash.bus = NULL;
    if (crash.half_done)
        crash.half_done(bus);
    int error = salvage(bus, crash.state, (const uint8_t *)"", 0, &result);
    if (error < 0)
        printf("# %s\n", result.why), fflush(stdout);
    _exit(error < 0 ? 1 : survived ? SURVIVED : 0);
}

static void moment(void)
{
    if (crash.bus && crash.left-- == 0)
        crash_here();
}

#ifdef __GLIBC__
typedef int message_flags;
#else /* musl */
typedef unsigned int message_flags;
#endif

int recvmmsg(int fd, struct mmsghdr *messages, unsigned int n, message_flags flags, struct timespec *timeout)
{
    moment();
    int result = (int)syscall(SYS_recvmmsg, fd, messages, n, flags, timeout);
    moment();
    return result;
}

int sendmmsg(int fd, struct mmsghdr *messages, unsigned int n, message_flags flags)
{
    moment();
    int result = (int)syscall(SYS_sendmmsg, fd, messages, n, flags);
    moment();
    return result;
}

/* What the clients have sent and got. a calls and sends, b replies, c receives. */
struct traffic {
    struct plane p;
    struct client *a, *b, *c;
    uint32_t calls[CALLS]; /* their serials, of a */
    uint32_t n_calls;
    uint32_t answered[CALLS]; /* answers to each */
    uint32_t late;            /* a call that b answers when the next bus is there; 0: none */
    uint32_t refused;         /* of them, errors */
    uint32_t last;            /* number of the latest signal */
    uint32_t sent, came;      /* signals */
    uint32_t longs;           /* of them, long ones */
    struct marshal rest;      /* a long message, of which a has sent the first half */
};

/* Replaces the data plane, which has a thread, by one without. */
static bool without_thread(struct plane *p)
{
    struct upgrade_state state = {.fd = -1};
    char why[256];
    bool done = upgrade_freeze(p) && upgrade_dump(p, &state);
    if (done) {
        upgrade_leave(p);
        done = CHECK_EQUAL(relay_restore(&p->relay, state.bytes, state.size, false, why, sizeof(why)), 0);
    }
    upgrade_end(&state);
    if (done)
        upgrade_thaw(p);
    return done;
}

static void numbered(struct client *c, uint32_t number)
{
    struct marshal w = {0};
    struct marshal_header header = {.type = MESSAGE_SIGNAL,
                                    .serial = ++c->serial,
                                    .path = SPAN("/test"),
                                    .interface = SPAN("test.Numbers"),
                                    .member = SPAN("Number"),
                                    .signature = SPAN("u")};
    marshal_begin(&w, &header);
    marshal_uint32(&w, number);
    client_send(c, &w);
}

/* A bus with three clients, of which c listens to numbered signals. */
static void traffic_open(struct traffic *t)
{
    memset(t, 0, sizeof(*t));
    plane_open(&t->p);
    t->a = plane_connect(&t->p, 0);
    t->b = plane_connect(&t->p, 1);
    t->c = plane_connect(&t->p, 2);
    client_match(t->c, "type='signal',interface='test.Numbers',member='Number'");
}

static void call(struct traffic *t, const char *destination)
{
    struct marshal w = client_call(t->a, destination, "GetId", NULL);
    client_send(t->a, &w);
    t->calls[t->n_calls++] = t->a->serial;
}

/* A call that a small socket of the callee does not take at once. */
static void call_big(struct traffic *t, uint64_t callee, const char *destination)
{
    static const uint8_t body[BIG_SIZE];
    int size = SMALL_BUFFER;
    struct marshal w = client_call(t->a, destination, "Big", "ay");
    marshal_uint32(&w, BIG_SIZE);
    marshal_raw(&w, body, sizeof(body));
    client_send(t->a, &w);
    t->calls[t->n_calls++] = t->a->serial;
    CHECK_EQUAL(
        setsockopt(bus_peer(&t->p.relay->bus, callee)->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
}

static void reply(struct client *c, const struct message *m)
{
    struct marshal w = {0};
    struct marshal_header header = {.type = MESSAGE_METHOD_RETURN,
                                    .serial = ++c->serial,
                                    .reply_serial = m->serial,
                                    .destination = m->sender};
    marshal_begin(&w, &header);
    client_send(c, &w);
}

static void send_fd(struct client *c, const char *destination)
{
    char space[CMSG_SPACE(sizeof(int))] = {0};
    struct marshal w = {0};
    struct marshal_header header = {.type = MESSAGE_SIGNAL,
                                    .serial = ++c->serial,
                                    .path = SPAN("/test"),
                                    .interface = SPAN("test.Numbers"),
                                    .member = SPAN("Fd"),
                                    .destination = span_of(destination),
                                    .n_fds = 1};
    marshal_begin(&w, &header);
    CHECK(marshal_end(&w));
    struct iovec iov = {w.data, w.size};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);
    *cmsg = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(cmsg), &c->fd, sizeof(int));
    CHECK_EQUAL(sendmsg(c->fd, &message, MSG_NOSIGNAL), (ssize_t)w.size);
    marshal_free(&w);
}

/* The first half of a long signal; the second follows when the next bus reads. */
static void begin_long(struct traffic *t, const char *destination)
{
    static const uint8_t body[LONG_SIZE];
    struct marshal_header header = {.type = MESSAGE_SIGNAL,
                                    .serial = ++t->b->serial,
                                    .path = SPAN("/test"),
                                    .interface = SPAN("test.Numbers"),
                                    .member = SPAN("Long"),
                                    .destination = span_of(destination),
                                    .signature = SPAN("ay")};
    marshal_begin(&t->rest, &header);
    marshal_uint32(&t->rest, LONG_SIZE);
    marshal_raw(&t->rest, body, sizeof(body));
    CHECK(marshal_end(&t->rest));
    CHECK_EQUAL(send(t->b->fd, t->rest.data, t->rest.size / 4, MSG_NOSIGNAL), (ssize_t)t->rest.size / 4);
}

/* Runs the bus to the moment, and leaves its state. */
static bool run_to(struct traffic *t, long when, int state)
{
    fflush(stdout);
    pid_t pid = fork_with_descriptors();
    if (pid == 0) {
        crash.bus = &t->p.relay->bus;
        crash.left = when;
        crash.state = state;
        check_allocating = moment;
        for (int i = 0; i < TURNS; i++) {
            relay_turn(t->p.relay);
            if (i == TURNS / 2 && crash.half_way)
                crash.half_way(crash.bus);
        }
        survived = true;
        crash_here();
    }
    int status = -1;
    CHECK_EQUAL(waitpid(pid, &status, 0), pid);
    if (crash.forget)
        crash.forget(&t->p.relay->bus);
    survived = status == SURVIVED << 8;
    return survived || CHECK_EQUAL(status, 0);
}

static void note_answer(struct traffic *t, const struct message *m)
{
    uint32_t i = 0;
    while (i < t->n_calls && t->calls[i] != m->reply_serial)
        i++;
    if (CHECK(i < t->n_calls))
        t->answered[i]++;
    t->refused += m->type == MESSAGE_ERROR;
    if (m->type == MESSAGE_ERROR)
        CHECK_SPAN(m->error_name, "org.freedesktop.DBus.Error.NoReply");
}

static void note_signal(struct traffic *t, const struct message *m)
{
    struct message_args args;
    struct message_arg number = {0};
    if (span_equal(m->member, SPAN("Number"))) {
        message_args_begin(&args, m);
        message_args_next(&args, &number);
        CHECK(number.number > t->last);
        t->last = number.number;
    }
    t->came++;
    t->longs += span_equal(m->member, SPAN("Long"));
}

static void note(struct traffic *t, struct client *c, const struct message *m)
{
    if (m->type == MESSAGE_METHOD_CALL)
        reply(c, m);
    else if (m->type == MESSAGE_SIGNAL)
        note_signal(t, m);
    else
        note_answer(t, m);
}

/* Takes what a client has got. False: nothing has come for some time. */
static bool take(struct traffic *t, struct client *c, int timeout)
{
    struct pollfd poller = {.fd = c->fd, .events = POLLIN};
    uint32_t size;
    bool any = poll(&poller, 1, timeout) == 1;
    if (any) {
        size_t before = c->size;
        client_receive(c);
        any = CHECK(c->size > before); /* no connection is closed */
    }
    struct message m;
    while (message_frame(c->data, c->size, MESSAGE_MAX_SIZE, &size) == MESSAGE_OK && size <= c->size &&
           CHECK_EQUAL(message_parse(&m, c->data, size), MESSAGE_OK)) {
        note(t, c, &m);
        client_drop(c, &m);
    }
    return any;
}

/* All messages that were sent before come through the next bus, but for one at most. */
static void go_on(struct traffic *t)
{
    size_t sent = t->rest.size / 4;
    while (sent < t->rest.size) {
        ssize_t n = send(t->b->fd, t->rest.data + sent, t->rest.size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += n > 0 ? (size_t)n : 0;
        take(t, t->c, 1);
    }
    if (t->late)
        reply(t->b, &(struct message){.serial = t->late, .sender = SPAN(":1.0")});
    call(t, ":1.1"); /* the last one */
    const uint32_t *last = &t->answered[t->n_calls - 1];
    for (int64_t end = clock_now() + PLANE_DEADLINE; *last == 0 && clock_now() < end;) {
        take(t, t->a, 1);
        take(t, t->b, 1);
        take(t, t->c, 0);
    }
    while (t->rest.size > 0 && t->longs == 0 && take(t, t->c, PLANE_DEADLINE))
        continue;
    numbered(t->a, SIGNALS + 1);
    while (t->last <= SIGNALS && take(t, t->c, PLANE_DEADLINE))
        continue;
    for (uint32_t i = 0; i < t->n_calls; i++)
        CHECK_EQUAL(t->answered[i], 1);
    CHECK(t->came <= t->sent + 1);
    if (!CHECK(t->refused + t->sent + 1 - t->came <= 1))
        printf("# refused %u, signals %u of %u\n", t->refused, t->came, t->sent + 1);
}

static void crash_at(long when, bool (*prepare)(struct traffic *t))
{
    struct traffic t;
    struct upgrade_state state = {.fd = memfd_create("omnibus-state", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    if (prepare(&t) && run_to(&t, when, state.fd) && upgrade_map(&state)) {
        upgrade_leave(&t.p);
        if (upgrade_enter(&t.p, &state)) {
            upgrade_thaw(&t.p);
            go_on(&t);
        }
    }
    upgrade_end(&state);
    marshal_free(&t.rest);
    plane_close(&t.p);
}

/* Ends a bus at each moment, one after the other. */
static void crash_at_each(bool (*prepare)(struct traffic *t))
{
    long when = 0;
    for (survived = false; !survived && check_failures == 0; when++)
        crash_at(when, prepare);
    CHECK(when > 20);
    if (check_failures)
        printf("# at moment %ld\n", when - 1);
}

#endif
