/* SPDX-License-Identifier: MIT */
#include "state/event.h"

#include <stdlib.h>
#include <unistd.h>

void event_describe(struct event *event, const struct message *m)
{
    struct relay_event *view = &event->view;
    view->serial = m->serial;
    view->reply_serial = m->reply_serial;
    view->type = m->type;
    view->flags = m->flags;
    view->big_endian = m->big_endian;
    view->n_fds = m->n_fds;
    /* all strings of a header are NUL-terminated in place */
    view->path = m->path.s;
    view->interface = m->interface.s;
    view->member = m->member.s;
    view->error_name = m->error_name.s;
    view->destination = m->destination.s;
    view->signature = m->signature.s;
    view->body = m->data + m->body_offset;
    view->body_size = m->body_size;
}

void event_close(const struct relay_event *view)
{
    if (view->kind != RELAY_EVENT_HANDED_UP)
        return;
    close(view->fd);
    for (uint32_t i = 0; i < view->n_fds; i++)
        close(view->fds[i]);
}

void event_drop(struct event *event)
{
    event_close(&event->view);
    if (event->owned)
        free(event);
}

void events_push(struct events *events, struct event *event)
{
    if (stack_push(&events->stack, &event->node) || events->lazy > 0)
        events->wake = true;
}

void events_push_lazily(struct events *events, struct event *event)
{
    if (stack_push(&events->stack, &event->node))
        events->lazy = 0;
    else if (events->lazy == 0)
        return; /* follows an event that wakes the control plane */
    if (++events->lazy >= EVENTS_LAZY_MAX)
        events->wake = true;
}

void events_hurry(struct events *events)
{
    if (events->lazy > 0)
        events->wake = true;
}

void events_remain(const struct events *events)
{
    uint64_t one = 1;
    ssize_t n = write(events->fd, &one, sizeof(one));
    (void)n; /* EAGAIN: the descriptor is readable already */
}
