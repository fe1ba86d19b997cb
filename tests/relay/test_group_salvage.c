/* SPDX-License-Identifier: MIT */

/*
 * A bus with a group of unix_multicast(7) that ends at any moment, also before and after each call of the
 * group: see salvage_fixture.h. a and b are members, c joins while the bus ends. The kernel, fake_group.h,
 * has recorded calls of a to b and has a message for b that it could not deliver, and a call does not fit b's
 * socket.
 */

#include "salvage_fixture.h"

#include "fake_group.h"

#include "../../transport/relay/send/output.h"

#define SPILLED_BEFORE 13u /* bytes that have arrived */

static int moment_ioctl(int fd, unsigned long request, void *argument)
{
    moment();
    int result = fake_ioctl(fd, request, argument);
    moment();
    return result;
}

static ssize_t moment_read(int fd, void *bytes, size_t size)
{
    moment();
    ssize_t n = fake_read(fd, bytes, size);
    moment();
    return n;
}

static uint32_t index_of(const struct traffic *t, uint64_t id)
{
    const struct group_peer *gp = bus_peer(&t->p.relay->bus, id)->group.gp;
    return CHECK(gp) ? gp->index : UMC_ANY;
}

/* The group of the data plane that is left to the child. */
static void forget_group(struct bus *bus)
{
    bus->group->fd = -1;
    group_end(bus);
}

/* Lets a and b be members. */
static bool join(struct traffic *t)
{
    fake_kernel = (struct umc_kernel){moment_ioctl, moment_read};
    fake_begin();
    fake_group.named = true;
    crash.forget = forget_group;
    if (!CHECK_EQUAL(relay_set_group(t->p.relay, fake_group.fd, FAKE_MEMBERS, true), 0))
        return false;
    for (uint64_t id = 0; id < 3; id++)
        bus_peer(&t->p.relay->bus, id)->listener = 0;
    struct marshal w = client_signal(t->a, ":1.1", "Meet");
    client_send(t->a, &w);
    for (int i = 0; i < 5; i++)
        relay_turn(t->p.relay);
    return client_expects(t->b, MESSAGE_SIGNAL, "Meet", ":1.0") && CHECK_EQUAL(fake_calls(UMC_ADD), 2);
}

/* A call of a to b that went directly. */
static struct message call_directly(struct traffic *t)
{
    const struct umc_pending call = {
        .caller = index_of(t, 0), .callee = index_of(t, 1), .key = ++t->a->serial};
    fake_pending_add(&call);
    t->calls[t->n_calls++] = call.key;
    return (struct message){.serial = call.key, .sender = SPAN(":1.0")};
}

/* A signal of a, of which the kernel has delivered a part to b. */
static void spill(struct traffic *t)
{
    struct marshal w = client_signal(t->a, NULL, "Spilled");
    CHECK(marshal_end(&w));
    struct umc_spill head = {.receiver = index_of(t, 1),
                             .sender = index_of(t, 0),
                             .length = (uint32_t)w.size,
                             .written = SPILLED_BEFORE};
    uint64_t one = 1;
    memcpy(fake_group.spill, &head, sizeof(head));
    memcpy(fake_group.spill + sizeof(head), w.data, w.size);
    fake_group.spill_size = sizeof(head) + w.size;
    CHECK_EQUAL(send(fake_look(head.receiver).accepted, w.data, SPILLED_BEFORE, 0), SPILLED_BEFORE);
    CHECK_EQUAL(write(fake_group.fd, &one, sizeof(one)), sizeof(one));
    marshal_free(&w);
    t->sent++;
}

/* b's socket has room for the rest. */
static void continue_big(struct bus *bus)
{
    int size = 4 * BIG_SIZE;
    struct peer *b = bus_peer(bus, 1);
    CHECK_EQUAL(setsockopt(b->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    output_continue(bus, b);
}

static bool prepare(struct traffic *t)
{
    struct message m;
    traffic_open(t);
    call(t, ":1.1");
    if (!client_expect(t->b, &m))
        return false;
    struct message first = {.serial = m.serial, .sender = SPAN(":1.0")};
    client_drop(t->b, &m);
    if (!without_thread(&t->p) || !join(t))
        return false;
    reply(t->b, &first);
    struct message direct = call_directly(t);
    reply(t->b, &direct);
    t->late = call_directly(t).serial;
    spill(t);
    call(t, ":1.1");
    for (uint32_t i = 1; i <= SIGNALS; i++)
        numbered(t->a, i);
    call_big(t, 1, ":1.1");
    call(t, BUS);
    call(t, ":1.1");
    send_fd(t->a, ":1.2");
    begin_long(t, ":1.2");
    t->sent += SIGNALS + 2;
    return true;
}

static void at_each_moment(void)
{
    if (is_emulated())
        SKIP(EMULATED);
    crash.half_way = continue_big;
    crash_at_each(prepare);
    crash.half_way = NULL;
}

static void when_idle(void)
{
    if (is_emulated())
        SKIP(EMULATED);
    crash_at(1000000, prepare);
    CHECK(survived);
}

/*
 * What the kernel says is checked: a call of no member, one to no member, one that the relay has recorded,
 * too, and messages for no member, or that are none.
 */
static bool prepare_wrong_answers(struct traffic *t)
{
    struct message m;
    traffic_open(t);
    call(t, ":1.1");
    if (!client_expect(t->b, &m) || !CHECK_EQUAL(m.serial, t->calls[0]))
        return false;
    client_drop(t->b, &m);
    if (!without_thread(&t->p) || !join(t))
        return false;
    t->late = t->calls[0];
    /* handed over as they joined, and in the relay's table, too */
    CHECK_EQUAL(fake_group.n_pending, 1);
    struct bus *bus = &t->p.relay->bus;
    CHECK(replies_add(&bus->replies, bus_find(bus, SPAN(":1.0")), bus_find(bus, SPAN(":1.1")), t->late, 0));
    fake_pending_add(&(struct umc_pending){.caller = 7, .callee = index_of(t, 1), .key = 1});
    fake_pending_add(&(struct umc_pending){.caller = UMC_ANY - 1, .callee = UMC_ANY - 1, .key = 1});
    t->calls[t->n_calls++] = ++t->a->serial;
    fake_pending_add(&(struct umc_pending){.caller = index_of(t, 0), .callee = 7, .key = t->a->serial});
    return true;
}

static void (*wrong_spill)(struct umc_spill *spill);

static void leave_spill(struct bus *bus)
{
    struct umc_spill *spill = &(struct umc_spill){.receiver = 1, .length = 16};
    uint64_t one = 1;
    wrong_spill(spill);
    memset(fake_group.spill, 'x', sizeof(fake_group.spill));
    memcpy(fake_group.spill, spill, sizeof(*spill));
    fake_group.spill_size = sizeof(*spill) + 16;
    CHECK_EQUAL(write(bus->group->fd, &one, sizeof(one)), sizeof(one));
}

static void no_message(struct umc_spill *spill)
{
    (void)spill;
}

static void no_receiver(struct umc_spill *spill)
{
    spill->receiver = UMC_ANY;
}

static void too_long(struct umc_spill *spill)
{
    spill->length = UINT32_MAX;
}

static void with_wrong_answers(void)
{
    if (is_emulated())
        SKIP(EMULATED);
    void (*const wrong[])(struct umc_spill * spill) = {no_message, no_receiver, too_long};
    for (size_t i = 0; i < CHECK_COUNT(wrong); i++) {
        wrong_spill = wrong[i];
        crash.half_done = leave_spill;
        crash_at(1000000, prepare_wrong_answers);
        crash.half_done = NULL;
    }
}

/* A direct call is on its way, and not recorded yet. */
static bool prepare_arriving(struct traffic *t)
{
    traffic_open(t);
    if (!without_thread(&t->p) || !join(t))
        return false;
    t->late = t->calls[t->n_calls++] = ++t->a->serial;
    fake_group.arriving =
        (struct umc_pending){.caller = index_of(t, 0), .callee = index_of(t, 1), .key = t->late};
    return true;
}

static void leave_arriving(struct bus *bus)
{
    (void)bus;
    fake_group.entry_error = EBUSY;
    fake_fail(UMC_WRITE, 0, 0, 1);
}

static void while_a_call_arrives(void)
{
    if (is_emulated())
        SKIP(EMULATED);
    crash.half_done = leave_arriving;
    crash_at(1000000, prepare_arriving);
    crash.half_done = NULL;
}

/* A direct call is past reply_timeout. */
static bool prepare_expiry(struct traffic *t)
{
    traffic_open(t);
    if (!without_thread(&t->p) || !join(t))
        return false;
    call_directly(t);
    t->p.relay->bus.limits.reply_timeout = 1;
    return true;
}

static void expire_at(long when)
{
    struct traffic t;
    struct upgrade_state state = {.fd = memfd_create("omnibus-state", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    if (prepare_expiry(&t) && run_to(&t, when, state.fd) && upgrade_map(&state)) {
        upgrade_leave(&t.p);
        if (upgrade_enter(&t.p, &state)) {
            upgrade_thaw(&t.p);
            while (t.answered[0] == 0 && take(&t, t.a, PLANE_DEADLINE))
                continue;
            call(&t, BUS);
            while (t.answered[1] == 0 && take(&t, t.a, PLANE_DEADLINE))
                continue;
            CHECK_EQUAL(t.answered[0], 1);
            CHECK_EQUAL(t.refused, 1);
        }
    }
    upgrade_end(&state);
    plane_close(&t.p);
}

static void while_a_call_expires(void)
{
    if (is_emulated())
        SKIP(EMULATED);
    long when = 0;
    for (survived = false; !survived && check_failures == 0; when++)
        expire_at(when);
    CHECK(when > 5);
}

static const struct check_test tests[] = {
    TEST(at_each_moment),       TEST(when_idle), TEST(with_wrong_answers), TEST(while_a_call_arrives),
    TEST(while_a_call_expires),
};
CHECK_MAIN(tests)
