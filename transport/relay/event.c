/* SPDX-License-Identifier: MIT */
#include "event.h"

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
    /* all strings of a header are NUL-terminated where they stand */
    view->path = m->path.s;
    view->interface = m->interface.s;
    view->member = m->member.s;
    view->error_name = m->error_name.s;
    view->destination = m->destination.s;
    view->signature = m->signature.s;
    view->body = m->data + m->body_offset;
    view->body_size = m->body_size;
}

void events_push(struct events *events, struct event *event)
{
    if (stack_push(&events->stack, &event->node))
        events->wake = true;
}

void events_wake(struct events *events)
{
    if (!events->wake)
        return;
    events->wake = false;
    uint64_t one = 1;
    ssize_t n = write(events->fd, &one, sizeof(one));
    (void)n; /* EAGAIN: it is readable already */
}
