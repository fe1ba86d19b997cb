/* SPDX-License-Identifier: MIT */
#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 32
#define RULE "type='signal',path='/org/example/Object',interface='org.example.Interface',member='Changed'"

struct script scripts[SCRIPTS] = {
    {"ping-pong",
     2,
     NULL,
     2,
     2,
     {{0, 1, 1, MESSAGE_METHOD_CALL, 1, {0}}, {1, 0, 0, MESSAGE_METHOD_RETURN, 1, {0}}}},
    {"pipeline",
     2,
     NULL,
     2 * WINDOW,
     2,
     {{0, 1, 1, MESSAGE_METHOD_CALL, WINDOW, {0}}, {1, 0, 0, MESSAGE_METHOD_RETURN, WINDOW, {0}}}},
    {"fan-out", 9, RULE, 8, 1, {{0, 1, 8, MESSAGE_SIGNAL, 1, {0}}}},
    {"matches",
     1,
     NULL,
     2,
     2,
     {{0, 0, 0, MESSAGE_METHOD_RETURN, 1, {0}}, {0, 0, 0, MESSAGE_METHOD_RETURN, 1, {0}}}},
    {"name-owner", 1, NULL, 1, 1, {{0, 0, 0, MESSAGE_METHOD_RETURN, 1, {0}}}},
};

static void append(struct marshal *out, struct marshal *message)
{
    if (!marshal_end(message))
        abort();
    uint8_t *data = realloc(out->data, out->size + message->size);
    if (!data)
        abort();
    memcpy(data + out->size, message->data, message->size);
    out->data = data;
    out->size += message->size;
    marshal_free(message);
}

static void write_call(struct marshal *out, uint32_t serial)
{
    struct marshal w = {0};
    marshal_begin(&w, &(struct marshal_header){.type = MESSAGE_METHOD_CALL,
                                               .serial = serial,
                                               .path = SPAN("/org/example/Object"),
                                               .interface = SPAN("org.example.Interface"),
                                               .member = SPAN("Method"),
                                               .destination = SPAN(":1.1"),
                                               .signature = SPAN("s")});
    marshal_string(&w, SPAN("an argument of a usual length, about sixty bytes of text"));
    append(out, &w);
}

static void write_reply(struct marshal *out, uint32_t reply_serial)
{
    struct marshal w = {0};
    marshal_begin(&w, &(struct marshal_header){.type = MESSAGE_METHOD_RETURN,
                                               .flags = MESSAGE_NO_REPLY_EXPECTED,
                                               .serial = reply_serial,
                                               .reply_serial = reply_serial,
                                               .destination = SPAN(":1.0"),
                                               .signature = SPAN("s")});
    marshal_string(&w, SPAN("an argument of a usual length, about sixty bytes of text"));
    append(out, &w);
}

static void write_signal(struct marshal *out)
{
    struct marshal w = {0};
    marshal_begin(&w, &(struct marshal_header){.type = MESSAGE_SIGNAL,
                                               .flags = MESSAGE_NO_REPLY_EXPECTED,
                                               .serial = 1,
                                               .path = SPAN("/org/example/Object"),
                                               .interface = SPAN("org.example.Interface"),
                                               .member = SPAN("Changed"),
                                               .signature = SPAN("s")});
    marshal_string(&w, SPAN("an argument of a usual length, about sixty bytes of text"));
    append(out, &w);
}

static void write_driver_call(struct marshal *out, const char *member, const char *argument)
{
    struct marshal w = {0};
    marshal_begin(&w, &(struct marshal_header){.type = MESSAGE_METHOD_CALL,
                                               .serial = 1,
                                               .path = SPAN("/org/freedesktop/DBus"),
                                               .interface = SPAN("org.freedesktop.DBus"),
                                               .member = span_of(member),
                                               .destination = SPAN("org.freedesktop.DBus"),
                                               .signature = SPAN("s")});
    marshal_string(&w, span_of(argument));
    append(out, &w);
}

void script_add_match(struct marshal *out, const char *rule)
{
    write_driver_call(out, "AddMatch", rule);
}

void scripts_write(void)
{
    write_call(&scripts[0].steps[0].bytes, 1);
    write_reply(&scripts[0].steps[1].bytes, 1);
    for (uint32_t i = 1; i <= WINDOW; i++) {
        write_call(&scripts[1].steps[0].bytes, i);
        write_reply(&scripts[1].steps[1].bytes, i);
    }
    write_signal(&scripts[2].steps[0].bytes);
    script_add_match(&scripts[3].steps[0].bytes, RULE);
    write_driver_call(&scripts[3].steps[1].bytes, "RemoveMatch", RULE);
    write_driver_call(&scripts[4].steps[0].bytes, "GetNameOwner", ":1.0");
}
