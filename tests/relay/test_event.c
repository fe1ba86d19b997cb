/* SPDX-License-Identifier: MIT */
#include "check.h"

#include "../../transport/relay/base/table.h"
#include "../../transport/relay/state/event.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ALL (EVENTS_LAZY_MAX + 2)

struct queue {
    struct events events;
    struct event event[ALL];
};

static void queue_open(struct queue *q)
{
    memset(q, 0, sizeof(*q));
    q->events.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (uint32_t i = 0; i < ALL; i++)
        q->event[i].view.serial = i;
}

/* What the end of a wake-up does; true: the control plane was woken, which reads the descriptor. */
static bool woken(struct queue *q)
{
    uint64_t count;
    events_tick(&q->events);
    events_wake(&q->events);
    return read(q->events.fd, &count, sizeof(count)) == sizeof(count);
}

/* Takes everything; true: it was the first n events, in their order. */
static bool taken(struct queue *q, uint32_t n)
{
    uint32_t i = 0;
    for (struct stack_node *node = stack_take(&q->events.stack); node; node = node->next)
        if (CONTAINER_OF(node, struct event, node)->view.serial != i++)
            return false;
    return i == n;
}

static void an_event_wakes_once(void)
{
    struct queue q;
    queue_open(&q);
    CHECK(!woken(&q));
    events_push(&q.events, &q.event[0]);
    CHECK(woken(&q));
    events_push(&q.events, &q.event[1]);
    CHECK(!woken(&q));
    CHECK(taken(&q, 2));
    close(q.events.fd);
}

static void a_lazy_event_waits(void)
{
    struct queue q;
    queue_open(&q);
    events_push_lazily(&q.events, &q.event[0]);
    CHECK(!woken(&q));
    int left = events_tick(&q.events);
    CHECK(left > 0 && left <= EVENTS_LAZY_TIME);
    CHECK(taken(&q, 1));
    CHECK_EQUAL(events_tick(&q.events), -1);
    close(q.events.fd);
}

static void a_lazy_event_is_hurried(void)
{
    struct queue q;
    queue_open(&q);
    events_hurry(&q.events);
    CHECK(!woken(&q));
    events_push_lazily(&q.events, &q.event[0]);
    events_hurry(&q.events);
    CHECK(woken(&q));
    CHECK(taken(&q, 1));
    close(q.events.fd);
}

static void an_old_lazy_event_wakes(void)
{
    struct queue q;
    queue_open(&q);
    events_push_lazily(&q.events, &q.event[0]);
    q.events.lazy_since -= EVENTS_LAZY_TIME;
    CHECK(woken(&q));
    CHECK(!woken(&q));
    CHECK(taken(&q, 1));
    close(q.events.fd);
}

static void many_lazy_events_wake(void)
{
    struct queue q;
    queue_open(&q);
    for (uint32_t i = 0; i < EVENTS_LAZY_MAX; i++) {
        CHECK(!woken(&q));
        events_push_lazily(&q.events, &q.event[i]);
    }
    CHECK(woken(&q));
    CHECK(taken(&q, EVENTS_LAZY_MAX));
    close(q.events.fd);
}

static void an_event_wakes_for_the_lazy_ones_before_it(void)
{
    struct queue q;
    queue_open(&q);
    events_push_lazily(&q.events, &q.event[0]);
    CHECK(!woken(&q));
    events_push(&q.events, &q.event[1]);
    CHECK(woken(&q));
    CHECK(taken(&q, 2));
    close(q.events.fd);
}

static void a_lazy_event_behind_another_needs_no_wake(void)
{
    struct queue q;
    queue_open(&q);
    events_push(&q.events, &q.event[0]);
    CHECK(woken(&q));
    events_push_lazily(&q.events, &q.event[1]);
    CHECK(!woken(&q));
    CHECK_EQUAL(events_tick(&q.events), -1);
    CHECK(taken(&q, 2));
    close(q.events.fd);
}

static void what_was_taken_early_is_not_counted(void)
{
    struct queue q;
    queue_open(&q);
    for (uint32_t i = 0; i < EVENTS_LAZY_MAX - 1; i++)
        events_push_lazily(&q.events, &q.event[i]);
    CHECK(taken(&q, EVENTS_LAZY_MAX - 1));
    events_push_lazily(&q.events, &q.event[0]);
    CHECK(!woken(&q));
    events_push(&q.events, &q.event[1]);
    CHECK(woken(&q));
    CHECK(taken(&q, 2));
    close(q.events.fd);
}

static const struct check_test tests[] = {
    TEST(an_event_wakes_once),
    TEST(a_lazy_event_waits),
    TEST(a_lazy_event_is_hurried),
    TEST(an_old_lazy_event_wakes),
    TEST(many_lazy_events_wake),
    TEST(an_event_wakes_for_the_lazy_ones_before_it),
    TEST(a_lazy_event_behind_another_needs_no_wake),
    TEST(what_was_taken_early_is_not_counted),
};
CHECK_MAIN(tests)
