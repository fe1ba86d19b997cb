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

/* Ends a wake-up; true: it woke the control plane, which reads the descriptor. */
static bool woken(struct queue *q)
{
    uint64_t count;
    events_wake(&q->events);
    return read(q->events.fd, &count, sizeof(count)) == sizeof(count);
}

/* Takes everything; true: it was the first n events, in order. */
static bool taken(struct queue *q, uint32_t n)
{
    uint32_t i = 0;
    for (struct stack_node *node = stack_take(&q->events.stack); node; node = node->next)
        if (CONTAINER_OF(node, struct event, node)->view.serial != i++)
            return false;
    return i == n;
}

static void event_wakes_once(void)
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

static void lazy_event_does_not_wake(void)
{
    struct queue q;
    queue_open(&q);
    events_push_lazily(&q.events, &q.event[0]);
    CHECK(!woken(&q));
    CHECK(taken(&q, 1));
    close(q.events.fd);
}

static void flush_wakes_for_a_lazy_event(void)
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

static void event_wakes_for_earlier_lazy_events(void)
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

static void lazy_event_after_an_event_needs_no_wake(void)
{
    struct queue q;
    queue_open(&q);
    events_push(&q.events, &q.event[0]);
    CHECK(woken(&q));
    events_push_lazily(&q.events, &q.event[1]);
    CHECK(!woken(&q));
    CHECK(taken(&q, 2));
    close(q.events.fd);
}

static void events_taken_early_are_not_counted(void)
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
    TEST(event_wakes_once),
    TEST(lazy_event_does_not_wake),
    TEST(flush_wakes_for_a_lazy_event),
    TEST(many_lazy_events_wake),
    TEST(event_wakes_for_earlier_lazy_events),
    TEST(lazy_event_after_an_event_needs_no_wake),
    TEST(events_taken_early_are_not_counted),
};
CHECK_MAIN(tests)
