/* SPDX-License-Identifier: MIT */
#include "state/log.h"

#include "base/clock.h"
#include "state/bus.h"
#include "state/report.h"

#include <stdarg.h>
#include <stdio.h>

static bool log_has_room(struct bus *bus)
{
    if (bus->n_log >= LOG_LINES_MAX) {
        bus->log_lost++;
        return false;
    }
    if (bus->log_lost > 0 && bus->n_log < LOG_LINES_ENOUGH) {
        uint64_t lost = bus->log_lost;
        bus->log_lost = 0;
        log_line(bus, LOG_WARNING, "%llu lines of this log were too many at once and are lost",
                 (unsigned long long)lost);
    }
    return true;
}

/* Allocates an event with the line and room for more bytes. NULL: no memory. */
static struct event *log_event(int severity, const char *text, size_t size, size_t more)
{
    struct event *event = calloc(1, sizeof(*event) + size + more);
    if (!event)
        return NULL;
    memcpy(event + 1, text, size);
    event->owned = true;
    event->view.kind = RELAY_EVENT_LOG;
    event->view.type = (uint8_t)severity;
    event->view.body = (uint8_t *)(event + 1);
    event->view.body_size = (uint32_t)size;
    return event;
}

static void log_push(struct bus *bus, struct event *event)
{
    if (!event)
        return;
    bus->n_log++;
    report(bus, bus->turn, bus->turn ? bus->turn->user : NULL, event);
}

void log_line(struct bus *bus, int severity, const char *format, ...)
{
    if (!log_has_room(bus))
        return;
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    size_t size = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
    log_push(bus, log_event(severity, text, size, 0));
}

bool log_recurs(int64_t *latest)
{
    int64_t now = clock_now(), before = *latest;
    *latest = now;
    return before && now - before < LOG_EPISODE;
}

void log_memory(struct bus *bus, const char *subject, const char *object)
{
    if (!log_recurs(&bus->memory_failed))
        log_line(bus, LOG_ERR, "no memory %s %s", subject, object);
}

void log_denied(struct bus *bus, int severity, const char *text, const struct log_denial *denial)
{
    if (!log_has_room(bus))
        return;
    struct span file = span_of(denial->rule.file), destination = denial->destination;
    size_t size = strlen(text);
    struct event *event = log_event(severity, text, size, (size_t)destination.n + file.n + 2);
    if (event) {
        /* calloc() terminated both texts */
        char *at = (char *)(event + 1) + size;
        memcpy(at, destination.s, destination.n);
        event->view.destination = at;
        at += destination.n + 1;
        if (file.s)
            event->view.path = memcpy(at, file.s, file.n);
        event->view.serial = denial->rule.line;
        event->view.peer = denial->sender;
    }
    log_push(bus, event);
}
