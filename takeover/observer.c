/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "observer.h"

#include "body.h"
#include "handshake.h"
#include "traffic.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CONNECT_TIME 10000 /* milliseconds for Hello */
#define READ_SIZE 65536u
#define MAX_REPLIES (1u << 20)

static bool reserve(uint8_t **bytes, size_t *room, size_t size)
{
    if (size <= *room)
        return true;
    uint8_t *grown = realloc(*bytes, 2 * size);
    if (!grown)
        return false;
    *bytes = grown;
    *room = 2 * size;
    return true;
}

static void observer_send(struct observer *o)
{
    if (o->failed || !marshal_end(&o->out) ||
        !reserve(&o->pending, &o->pending_room, o->n_pending + o->out.size)) {
        o->failed = true;
        return;
    }
    memcpy(o->pending + o->n_pending, o->out.data, o->out.size);
    o->n_pending += o->out.size;
}

/* Room for the reply to the next serial. */
static bool observer_expect(struct observer *o)
{
    uint32_t n = o->serial - o->base + 1;
    if (n > MAX_REPLIES)
        return false;
    if (n > o->room) {
        struct observer_reply *replies = realloc(o->replies, 2 * (size_t)n * sizeof(*replies));
        if (!replies)
            return false;
        o->replies = replies;
        o->room = 2 * n;
    }
    while (o->n_replies < n)
        o->replies[o->n_replies++] = (struct observer_reply){0};
    return true;
}

/* The argument is a text, behind which there may be a u32 0; or an empty array. */
static uint32_t observer_begin(struct observer *o, const struct marshal_header *header, struct span argument,
                               struct span signature)
{
    struct marshal_header call = *header;
    call.serial = ++o->serial;
    call.signature = signature;
    if (!observer_expect(o)) {
        o->failed = true;
        return 0;
    }
    marshal_begin(&o->out, &call);
    if (signature.n > 0 && signature.s[0] == 'a')
        marshal_array_end(&o->out, marshal_array_begin(&o->out, 8), 8);
    else if (signature.n > 0)
        marshal_string(&o->out, argument);
    if (signature.n == 2)
        marshal_uint32(&o->out, 0);
    observer_send(o);
    return o->failed ? 0 : call.serial;
}

uint32_t observer_call(struct observer *o, const struct marshal_header *header, struct span argument)
{
    return observer_begin(o, header, argument, argument.s ? SPAN("s") : (struct span){0});
}

uint32_t observer_start(struct observer *o, const struct marshal_header *header, struct span name)
{
    return observer_begin(o, header, name, SPAN("su"));
}

uint32_t observer_update(struct observer *o)
{
    const struct marshal_header header = {.type = MESSAGE_METHOD_CALL,
                                          .path = SPAN(BUS_PATH),
                                          .interface = SPAN(BUS_NAME),
                                          .member = SPAN("UpdateActivationEnvironment"),
                                          .destination = SPAN(BUS_NAME)};
    return observer_begin(o, &header, (struct span){0}, SPAN("a{ss}"));
}

uint32_t observer_ask(struct observer *o, const char *interface, const char *member, const char *argument)
{
    const struct marshal_header header = {.type = MESSAGE_METHOD_CALL,
                                          .path = SPAN(BUS_PATH),
                                          .interface = span_of(interface),
                                          .member = span_of(member),
                                          .destination = SPAN(BUS_NAME)};
    return observer_call(o, &header, span_of(argument));
}

void observer_probe(struct observer *o, uint64_t id)
{
    char name[32];
    snprintf(name, sizeof(name), ":1.%llu", (unsigned long long)id);
    const struct marshal_header header = {.type = MESSAGE_SIGNAL,
                                          .serial = ++o->serial,
                                          .path = SPAN(PROBE_PATH),
                                          .interface = SPAN(PROBE_INTERFACE),
                                          .member = SPAN(PROBE_MEMBER),
                                          .destination = span_of(name)};
    if (!observer_expect(o))
        o->failed = true;
    marshal_begin(&o->out, &header);
    observer_send(o);
}

/* Keeps a reply that is waited for. */
static void observer_keep(struct observer *o, const uint8_t *data, uint32_t size)
{
    struct message m;
    if (message_parse(&m, data, size) != MESSAGE_OK) {
        o->failed = true;
        return;
    }
    uint32_t place = m.reply_serial - o->base;
    if ((m.type != MESSAGE_METHOD_RETURN && m.type != MESSAGE_ERROR) || place >= o->n_replies ||
        o->replies[place].data)
        return;
    uint8_t *copy = malloc(size);
    if (!copy) {
        o->failed = true;
        return;
    }
    memcpy(copy, data, size);
    o->replies[place].data = copy;
    o->n_heard++;
    message_parse(&o->replies[place].m, copy, size);
}

static void observer_take(struct observer *o)
{
    size_t at = 0;
    while (!o->failed) {
        uint32_t size;
        enum message_error error = message_frame(o->in + at, o->n_in - at, MESSAGE_MAX_SIZE, &size);
        if (error == MESSAGE_INCOMPLETE || (error == MESSAGE_OK && size > o->n_in - at))
            break;
        if (error == MESSAGE_OK)
            observer_keep(o, o->in + at, size);
        else
            o->failed = true;
        at += error == MESSAGE_OK ? size : 0;
    }
    if (at > 0)
        memmove(o->in, o->in + at, o->n_in - at);
    o->n_in -= at;
}

static void observer_write(struct observer *o)
{
    while (o->n_pending > 0) {
        ssize_t n = send(o->fd, o->pending, o->n_pending, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        o->failed |= n < 0 && errno != EAGAIN;
        if (n < 0)
            return;
        memmove(o->pending, o->pending + n, o->n_pending - (size_t)n);
        o->n_pending -= (size_t)n;
    }
}

bool observer_turn(struct observer *o)
{
    observer_write(o);
    while (!o->failed) {
        if (!reserve(&o->in, &o->in_room, o->n_in + READ_SIZE)) {
            o->failed = true;
            break;
        }
        ssize_t n = recv(o->fd, o->in + o->n_in, READ_SIZE, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        o->failed |= n <= 0;
        if (n > 0)
            o->n_in += (size_t)n;
    }
    observer_take(o);
    return !o->failed;
}

short observer_events(const struct observer *o)
{
    return o->n_pending > 0 ? POLLIN | POLLOUT : POLLIN;
}

const struct message *observer_reply(const struct observer *o, uint32_t serial)
{
    uint32_t place = serial - o->base;
    return place < o->n_replies && o->replies[place].data ? &o->replies[place].m : NULL;
}

void observer_forget(struct observer *o)
{
    for (uint32_t i = 0; i < o->n_replies; i++)
        free(o->replies[i].data);
    o->n_replies = 0;
    o->base = o->serial + 1;
}

static int observer_hello(struct observer *o)
{
    uint32_t serial = observer_ask(o, BUS_NAME, "Hello", NULL);
    while (!o->failed && !observer_reply(o, serial)) {
        struct pollfd wait = {o->fd, observer_events(o), 0};
        if (poll(&wait, 1, CONNECT_TIME) <= 0)
            return -ETIMEDOUT;
        observer_turn(o);
    }
    struct body body;
    const struct message *m = o->failed ? NULL : observer_reply(o, serial);
    if (!m || m->type != MESSAGE_METHOD_RETURN || !body_begin(&body, m, "s"))
        return -EACCES;
    return unique_id(body_string(&body), &o->id) ? 0 : -EPROTO;
}

int observer_connect(struct observer *o, const struct sockaddr_un *name, socklen_t size, uid_t uid, gid_t gid)
{
    *o = (struct observer){.base = 1};
    o->fd = handshake(name, size, uid, gid, o->guid);
    if (o->fd < 0)
        return o->fd;
    int error = observer_hello(o);
    observer_forget(o);
    if (error < 0)
        observer_close(o);
    return error;
}

void observer_close(struct observer *o)
{
    if (o->fd >= 0)
        close(o->fd);
    observer_forget(o);
    free(o->replies);
    free(o->pending);
    free(o->in);
    marshal_free(&o->out);
    *o = (struct observer){.fd = -1};
}
