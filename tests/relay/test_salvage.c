/* SPDX-License-Identifier: MIT */

/*
 * A bus that ends at any moment, and what its standby makes of it. A child that shares the descriptors plays
 * the bus: it ends before its n-th allocation, or before or after its n-th read or write, for each n. There
 * it plays the standby, too, with the tables as they are at that moment; the parent goes on with the state.
 */

#include "upgrade_fixture.h"

#include "emulated.h"

#include "../../transport/relay/match/match_internal.h"
#include "../../transport/relay/resume/salvage.h"
#include "../../transport/relay/route/input.h"
#include "../../transport/relay/state/inbox.h"

#include <signal.h>
#include <sys/wait.h>

#define BUS "org.freedesktop.DBus"
#define EMULATED "an emulator has no processes that share descriptors alone"
#define SIGNALS 3
#define LONG_SIZE 300000u /* read into a buffer of its own, and more than a socket takes */
#define TURNS 30
#define SURVIVED 2 /* exit status of a bus that has not reached the moment */

static struct {
    struct bus *bus;                    /* NULL: no crash is wanted, as in the parent */
    long left;                          /* moments before the crash */
    int state;                          /* the file for the state */
    void (*half_done)(struct bus *bus); /* what the bus was doing there, which no call shows; NULL: nothing */
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
    uint32_t calls[5]; /* their serials, of a */
    uint32_t n_calls;
    uint32_t answered[5]; /* answers to each */
    uint32_t refused;     /* of them, errors */
    uint32_t last;        /* number of the latest signal */
    uint32_t signals, fds, longs;
    struct marshal rest; /* a long message, of which a has sent the first half */
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

static void call(struct traffic *t, const char *destination)
{
    struct marshal w = client_call(t->a, destination, "GetId", NULL);
    client_send(t->a, &w);
    t->calls[t->n_calls++] = t->a->serial;
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

static bool prepare(struct traffic *t)
{
    memset(t, 0, sizeof(*t));
    plane_open(&t->p);
    t->a = plane_connect(&t->p, 0);
    t->b = plane_connect(&t->p, 1);
    t->c = plane_connect(&t->p, 2);
    client_match(t->c, "type='signal',interface='test.Numbers',member='Number'");
    struct message m;
    call(t, ":1.1"); /* is answered while the bus ends */
    if (!client_expect(t->b, &m))
        return false;
    if (!without_thread(&t->p))
        return false;
    reply(t->b, &m);
    client_drop(t->b, &m);
    call(t, ":1.1");
    for (uint32_t i = 1; i <= SIGNALS; i++)
        numbered(t->a, i);
    call(t, BUS);
    call(t, ":1.1");
    send_fd(t->a, ":1.2");
    begin_long(t, ":1.2");
    return true;
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
        for (int i = 0; i < TURNS; i++)
            relay_turn(t->p.relay);
        survived = true;
        crash_here();
    }
    int status = -1;
    CHECK_EQUAL(waitpid(pid, &status, 0), pid);
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
        t->signals++;
    }
    t->fds += span_equal(m->member, SPAN("Fd"));
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
    call(t, ":1.1"); /* the last one */
    for (int64_t end = clock_now() + PLANE_DEADLINE; t->answered[4] == 0 && clock_now() < end;) {
        take(t, t->a, 1);
        take(t, t->b, 1);
        take(t, t->c, 0);
    }
    while (t->longs == 0 && take(t, t->c, PLANE_DEADLINE))
        continue;
    numbered(t->a, SIGNALS + 1);
    while (t->last <= SIGNALS && take(t, t->c, PLANE_DEADLINE))
        continue;
    for (uint32_t i = 0; i < t->n_calls; i++)
        CHECK_EQUAL(t->answered[i], 1);
    uint32_t missing = t->refused + (SIGNALS + 1 - t->signals) + (1 - t->fds) + (1 - t->longs);
    if (!CHECK(missing <= 1))
        printf("# refused %u, signals %u, descriptors %u, long %u\n", t->refused, t->signals, t->fds,
               t->longs);
}

static void crash_at(long when)
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

static void at_each_moment(void)
{
    if (is_emulated())
        SKIP(EMULATED);
    long when = 0;
    for (survived = false; !survived && check_failures == 0; when++)
        crash_at(when);
    CHECK(when > 20);
    if (check_failures)
        printf("# at moment %ld\n", when - 1);
}

/* The descriptors of a read are the peer's already, and the note does not say so yet. */
static void take_read(struct bus *bus)
{
    struct read_note *reading = &bus->under_way.reading;
    struct peer *peer = atomic_load(&reading->peer);
    if (!peer || reading->claimed || reading->call.moved == 0)
        return;
    CHECK_EQUAL(input_received(peer, reading), 0);
    reading->claimed = false;
}

static void within_each_read(void)
{
    if (is_emulated())
        SKIP(EMULATED);
    crash.half_done = take_read;
    at_each_moment();
    crash.half_done = NULL;
}

/* Goes on with what an idle bus leaves. */
static bool renew(struct traffic *t, void (*half_done)(struct bus *bus))
{
    struct upgrade_state state = {.fd = memfd_create("omnibus-state", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    char why[256] = "";
    crash.half_done = half_done;
    bool done = run_to(t, 1000000, state.fd) && upgrade_map(&state);
    crash.half_done = NULL;
    if (done) {
        upgrade_leave(&t->p);
        done = CHECK_EQUAL(relay_restore(&t->p.relay, state.bytes, state.size, false, why, sizeof(why)), 0);
    }
    if (why[0])
        printf("# %s\n", why);
    upgrade_end(&state);
    if (done)
        upgrade_thaw(&t->p);
    return done;
}

static bool two_clients(struct traffic *t)
{
    memset(t, 0, sizeof(*t));
    plane_open(&t->p);
    t->a = plane_connect(&t->p, 0);
    t->b = plane_connect(&t->p, 1);
    return without_thread(&t->p);
}

/* Half a message came with a descriptor, and then the connection was lost. */
static void lose_begun(struct bus *bus)
{
    struct peer *peer = bus_peer(bus, 0);
    static int fds[1];
    fds[0] = peer->fd;
    CHECK_EQUAL(inbox_begin(peer, (const uint8_t *)"l", 1, fds, 1), 0);
    peer->input.begun = true;
    peer->input.n_fds_begun = 1;
    peer->life = PEER_CLOSING;
}

static void lost_with_half_a_message(void)
{
    if (is_emulated())
        SKIP(EMULATED);
    struct traffic t;
    if (two_clients(&t) && renew(&t, lose_begun) && CHECK_EQUAL(relay_start(t.p.relay), 0)) {
        client_closed(t.a);
        client_sync(t.b);
    }
    plane_close(&t.p);
}

/* A call is kept for the control plane, and its sender is not stopped yet. */
static void unstop(struct bus *bus)
{
    CHECK(bus_peer(bus, 0)->calls.held);
    bus_peer(bus, 0)->calls.stopped = false;
}

static void before_its_sender_is_stopped(void)
{
    if (is_emulated())
        SKIP(EMULATED);
    struct traffic t;
    if (two_clients(&t)) {
        struct marshal w = client_call(t.a, BUS, "ListActivatableNames", NULL);
        client_send(t.a, &w);
        if (renew(&t, unstop)) {
            CHECK(bus_peer(&t.p.relay->bus, 0)->calls.stopped);
            upgrade_take(&t.p, RELAY_EVENT_CALL);
        }
    }
    plane_close(&t.p);
}

/* The first of two match rules is in its list, and is not counted yet. */
static void uncount(struct bus *bus)
{
    struct match_rule *rule =
        (struct match_rule *)(uintptr_t)match_list_next(bus_peer(bus, 0)->matches, NULL);
    CHECK_EQUAL(rule->copies, 1);
    rule->copies = 0;
}

static void before_a_rule_is_counted(void)
{
    if (is_emulated())
        SKIP(EMULATED);
    struct traffic t;
    memset(&t, 0, sizeof(t));
    plane_open(&t.p);
    t.a = plane_connect(&t.p, 0);
    client_match(t.a, "type='signal',member='A'");
    client_match(t.a, "type='signal',member='B'");
    if (without_thread(&t.p) && renew(&t, uncount))
        CHECK_EQUAL(match_list_count(bus_peer(&t.p.relay->bus, 0)->matches), 1);
    plane_close(&t.p);
}

/* An observer may have missed a change: it is told so, and is none any more. */
static void before_an_observer_is_told(void)
{
    if (is_emulated())
        SKIP(EMULATED);
    struct traffic t;
    if (two_clients(&t)) {
        struct bus *bus = &t.p.relay->bus;
        list_append(&bus->observers, &bus_peer(bus, 0)->in_observers);
        CHECK(renew(&t, NULL) && CHECK_EQUAL(relay_start(t.p.relay), 0));
        client_expects(t.a, MESSAGE_SIGNAL, "Lost", BUS);
        CHECK(list_empty(&t.p.relay->bus.observers));
    }
    plane_close(&t.p);
}

/* Lets the bus end by a fault of its own while it reads from a, and makes the next one. */
static bool fault(struct traffic *t)
{
    struct upgrade_state state = {.fd = memfd_create("omnibus-state", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    char why[256];
    t->p.relay->bus.crash_note = (struct crash_note){.in_data_plane = 1, .signal = SIGSEGV};
    call(t, BUS);
    bool done = run_to(t, 1, state.fd) && upgrade_map(&state);
    if (done) {
        upgrade_keep_seed(&state);
        upgrade_leave(&t->p);
        done = CHECK_EQUAL(relay_restore(&t->p.relay, state.bytes, state.size, false, why, sizeof(why)), 0);
    }
    upgrade_end(&state);
    if (done)
        upgrade_thaw(&t->p);
    return done;
}

/* A client whose messages end the bus twice is closed, others are not. */
static void twice_with_one_client(void)
{
    if (is_emulated())
        SKIP(EMULATED);
    struct traffic t;
    memset(&t, 0, sizeof(t));
    plane_open(&t.p);
    t.a = plane_connect(&t.p, 0);
    t.b = plane_connect(&t.p, 1);
    if (without_thread(&t.p) && fault(&t)) {
        const struct crashes *crashes = &t.p.relay->bus.crashes;
        CHECK_EQUAL(crashes->n, 1);
        CHECK_EQUAL(crashes->all[0].peer, 0);
        CHECK_EQUAL(crashes->all[0].signal, SIGSEGV);
        CHECK(fault(&t) && CHECK_EQUAL(relay_start(t.p.relay), 0));
        CHECK_EQUAL(t.p.relay->bus.crashes.n, 2);
        client_closed(t.a);
        client_sync(t.b);
    }
    plane_close(&t.p);
}

static void when_idle(void)
{
    if (is_emulated())
        SKIP(EMULATED);
    crash_at(1000000);
    CHECK(survived);
}

static const struct check_test tests[] = {
    TEST(at_each_moment),           TEST(within_each_read),
    TEST(lost_with_half_a_message), TEST(before_its_sender_is_stopped),
    TEST(before_a_rule_is_counted), TEST(before_an_observer_is_told),
    TEST(twice_with_one_client),    TEST(when_idle),
};
CHECK_MAIN(tests)
