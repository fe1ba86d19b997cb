/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TEST_DRIVER_FIXTURE_H
#define OMNIBUS_TEST_DRIVER_FIXTURE_H

/* Calls of the driver's methods, and the answers: of the data plane at once, or of the control plane. */

#include "plane_fixture.h"

#define BUS "org.freedesktop.DBus"
#define ERROR(name) BUS ".Error." name

static inline void driver_call(struct client *c, const char *member, const char *text)
{
    struct marshal w = client_call(c, BUS, member, "s");
    marshal_string(&w, span_of(text));
    client_send(c, &w);
}

static inline void driver_call_with_flags(struct client *c, const char *member, const char *text,
                                          uint32_t flags)
{
    struct marshal w = client_call(c, BUS, member, "su");
    marshal_string(&w, span_of(text));
    marshal_uint32(&w, flags);
    client_send(c, &w);
}

/* The next message is a reply with this number. */
static inline void driver_answers(struct client *c, uint32_t number)
{
    struct message m;
    struct message_arg argument;
    REQUIRE(client_expect_argument(c, &m, &argument));
    CHECK_EQUAL(m.type, MESSAGE_METHOD_RETURN);
    CHECK_EQUAL(m.reply_serial, c->serial);
    CHECK_EQUAL(argument.number, number);
    client_drop(c, &m);
}

/* The next message is this error with this text. */
static inline void driver_refuses(struct client *c, const char *error, const char *text)
{
    struct message m;
    struct message_arg argument;
    REQUIRE(client_expect_argument(c, &m, &argument));
    CHECK_SPAN(m.error_name, error);
    CHECK_SPAN(argument.text, text);
    client_drop(c, &m);
}

/* Refuses the call or the parked message of the latest event, as the control plane can. */
static inline void driver_refuses_above(struct plane *p, struct client *c)
{
    if (p->event.kind == RELAY_EVENT_PARKED) {
        relay_reject(p->relay, p->event.parked, "an.Error", "no");
    } else {
        relay_error(p->relay, p->event.peer, p->event.serial, "an.Error", "no");
        relay_resume(p->relay, p->event.peer);
    }
    relay_commit(p->relay);
    client_expects(c, MESSAGE_ERROR, "an.Error", BUS);
}

#endif
