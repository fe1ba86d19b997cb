/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* vasprintf */
#endif
#include "send/say.h"

#include "send/deliver.h"
#include "send/judge.h"
#include "send/monitor.h"
#include "state/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ASKING_SERIALS 0x80000000u /* serials of the control plane begin here */

uint32_t say_serial(struct bus *bus)
{
    if (++bus->serial >= ASKING_SERIALS)
        bus->serial = 1;
    return bus->serial;
}

struct marshal *say_begin(struct bus *bus, struct marshal_header *header, const struct peer *to)
{
    if (header->serial == 0) {
        header->serial = say_serial(bus);
        header->flags = MESSAGE_NO_REPLY_EXPECTED;
    }
    header->sender = BUS_NAME;
    if (header->signature.n == 0)
        header->signature.s = NULL;
    if (to)
        header->destination = peer_name(to);
    marshal_begin(&bus->marshal, header);
    return &bus->marshal;
}

struct marshal *say_reply(struct bus *bus, const struct peer *to, uint32_t serial, struct span signature,
                          uint32_t n_fds)
{
    struct marshal_header header = {
        .type = MESSAGE_METHOD_RETURN, .reply_serial = serial, .signature = signature, .n_fds = n_fds};
    return say_begin(bus, &header, to);
}

struct marshal *say_signal(struct bus *bus, const struct peer *to, struct span path, struct span interface,
                           struct span member, struct span signature)
{
    struct marshal_header header = {.type = MESSAGE_SIGNAL,
                                    .path = path,
                                    .interface = interface,
                                    .member = member,
                                    .signature = signature};
    return say_begin(bus, &header, to);
}

static bool say_finish(struct bus *bus)
{
    if (marshal_end(&bus->marshal))
        return true;
    log_memory(bus, "for a message of", "the bus itself");
    return false;
}

static bool finish_checked(struct bus *bus, struct message *m)
{
    if (!say_finish(bus))
        return false;
    enum message_error error = message_parse(m, bus->marshal.data, (uint32_t)bus->marshal.size);
    if (error != MESSAGE_OK)
        log_line(bus, LOG_ERR, "the bus itself wrote an invalid message: %s", message_error_text(error));
    return error == MESSAGE_OK;
}

static void say_out(struct bus *bus, struct peer *to, const struct message *m, struct fds *fds)
{
    if (monitored(bus))
        monitor_said(bus, to, m, fds);
    deliver_said(bus, to, m, fds);
}

void say_end(struct bus *bus, struct peer *to)
{
    struct message m;
    if (!say_finish(bus))
        return;
    marshal_message(&bus->marshal, &m);
    say_out(bus, to, &m, NULL);
}

bool say_end_checked(struct bus *bus, struct peer *to, struct fds *fds)
{
    struct message m;
    bool valid = finish_checked(bus, &m);
    if (valid)
        say_out(bus, to, &m, fds);
    return valid;
}

void say_end_as(struct bus *bus, struct peer *to, uint32_t audience)
{
    struct message m;
    if (!finish_checked(bus, &m))
        return;
    if (audience & RELAY_TO_MONITORS && monitored(bus))
        monitor_said(bus, to, &m, NULL);
    if (audience & RELAY_TO_OWNER && to)
        deliver_said(bus, to, &m, NULL);
}

void say_error(struct bus *bus, struct peer *to, uint32_t serial, const char *name, const char *text)
{
    struct marshal_header header = {
        .type = MESSAGE_ERROR, .reply_serial = serial, .error_name = span_of(name), .signature = SPAN("s")};
    to->calls.failed = serial;
    marshal_string(say_begin(bus, &header, to), span_of(text));
    say_end_checked(bus, to, NULL);
}

void say_error_about(struct bus *bus, struct peer *to, uint32_t serial, const char *name, const char *format,
                     ...)
{
    char *text;
    va_list arguments;
    va_start(arguments, format);
    int n = vasprintf(&text, format, arguments);
    va_end(arguments);
    say_error(bus, to, serial, n < 0 ? ERROR_NO_MEMORY : name, n < 0 ? "Not enough memory" : text);
    if (n >= 0)
        free(text);
}

void say_owner_changed(struct bus *bus, struct span name, struct span old_owner, struct span new_owner)
{
    struct marshal *w = say_signal(bus, NULL, BUS_PATH, BUS_NAME, SPAN("NameOwnerChanged"), SPAN("sss"));
    marshal_string(w, name);
    marshal_string(w, old_owner);
    marshal_string(w, new_owner);
    say_end(bus, NULL);
}

static void say_name(struct bus *bus, struct peer *to, struct span member, struct span name)
{
    marshal_string(say_signal(bus, to, BUS_PATH, BUS_NAME, member, SPAN("s")), name);
    say_end(bus, to);
}

void say_name_acquired(struct bus *bus, struct peer *to, struct span name)
{
    say_name(bus, to, SPAN("NameAcquired"), name);
}

void say_name_lost(struct bus *bus, struct peer *to, struct span name)
{
    say_name(bus, to, SPAN("NameLost"), name);
}
