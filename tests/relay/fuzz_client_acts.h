/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_FUZZ_CLIENT_ACTS_H
#define OMNIBUS_FUZZ_CLIENT_ACTS_H

/* Actions of clients. */

#include "fuzz_answers.h"

#include <stdio.h>

/* Limit of the clients' output in one input. */
#define BYTES (1u << 20)
#define MESSAGES 220u

static int door = -1; /* the door of connections, kept from one input to the next */
static uint8_t filling[300u << 10];
static size_t written; /* bytes written by clients in this input */
static uint32_t n_written;
static uint32_t serial;

static inline struct client *client(struct input *in)
{
    struct client *c = &clients[input_byte(in) % CLIENTS];
    return c->fd >= 0 ? c : NULL;
}

static inline void turns(struct input *in)
{
    for (uint8_t n = 1 + input_byte(in) % 4; n > 0; n--)
        control_turn();
}

static inline void hello(struct client *c)
{
    struct marshal_header header = {.type = MESSAGE_METHOD_CALL,
                                    .serial = ++serial,
                                    .path = SPAN("/"),
                                    .member = SPAN("Hello"),
                                    .destination = SPAN("org.freedesktop.DBus")};
    marshal_begin(&client_marshal, &header);
    ASSERT(marshal_end(&client_marshal));
    client_write(c, client_marshal.data, client_marshal.size, 0);
}

/* A connection that the control plane has authenticated; the bits of what choose its credentials. */
static inline void attach(struct client *c, uint8_t what)
{
    static const uint32_t uids[] = {1000, 1000, 1001, 0, UINT32_MAX, 1002, 7, 1000};
    const uint32_t gids[] = {what, 7};
    struct relay_credentials credentials = {.uid = uids[what & 7],
                                            .pid = what & 8 ? 42 : 0,
                                            .gids = gids,
                                            .n_gids = 1 + (what & 1),
                                            .at_console = what & 8,
                                            .fd_passing = !(what & 16),
                                            .privileged = uids[what & 7] == 0,
                                            .loginfo = "uid=1000 pid=42 comm=\"\1\"",
                                            .instance = (what & 7) == 6 ? "/c" : NULL};
    int ends[2];
    client_end(c);
    sockets_pair(ends, what & 32);
    client_begin(c, ends[0]);
    c->seqpacket = what & 32;
    sockets_limit(ends[0], what & 64 ? 900 : 200000);
    CONTROL(relay_attach(control.relay, (1u << 20) + control.n_attached++, ends[1], control.listener,
                         world.now / 1000, &credentials, NULL, 0, NULL, 0));
    CONTROL(relay_commit(control.relay));
    if (what & 128)
        hello(c);
}

static inline void act_attach(struct input *in)
{
    struct client *c = &clients[input_byte(in) % CLIENTS];
    attach(c, input_byte(in));
    control_turn();
}

static inline void act_connect(struct input *in)
{
    struct client *c = &clients[input_byte(in) % CLIENTS];
    client_end(c);
    int fd = sockets_connect(door);
    if (fd < 0)
        return;
    client_begin(c, fd);
    c->greets = true;
}

/* A line of the handshake, or other bytes; optionally with a NUL first. */
static inline void act_bytes(struct input *in)
{
    uint8_t text[512] = {0};
    struct client *c = client(in);
    uint8_t how = input_byte(in);
    struct span words = how & 1 ? input_text(in) : span_of(CHOOSE(word_lines, in));
    size_t begin = how & 2 ? 1 : 0;
    uint32_t n_fds = how & 4 ? 1 + how / 64 : 0;
    memcpy(text + begin, words.s, words.n);
    if (c)
        client_write(c, text, begin + words.n, n_fds);
    if (how & 8)
        turns(in);
}

static inline void put_body(struct marshal *w, uint8_t what, struct input *in)
{
    static const uint32_t sizes[] = {10, 100, 1100, 1900, 2100, 9000, 70000, 280000};
    struct span texts[2];
    uint32_t size;
    switch (what) {
    case 1:
    case 2:
        marshal_string(w, span_of(CHOOSE(word_names, in)));
        if (what == 2)
            marshal_uint32(w, input_byte(in) % 8);
        break;
    case 3:
        marshal_string(w, span_of(CHOOSE(word_rules, in)));
        break;
    case 4:
        marshal_string(w, span_of(CHOOSE(word_paths, in)));
        break;
    case 5:
        texts[0] = span_of(CHOOSE(word_names, in));
        texts[1] = span_of(CHOOSE(word_paths, in));
        marshal_string_array(w, texts, 2);
        break;
    case 6:
        size = CHOOSE(sizes, in);
        marshal_uint32(w, size);
        marshal_raw(w, filling, size);
        break;
    case 7:
        marshal_raw(w, in->at, (size_t)(in->end - in->at) % 64);
        break;
    default:
        break;
    }
}

static inline struct span body_signature(uint8_t what, struct input *in)
{
    static const char *const signatures[] = {NULL, "s", "su", "s", "o", "as", "ay", "v"};
    static const char *const others[] = {"s", "su", "a{sv}", "(ii)", "", "h"};
    return span_of(what == 7 ? CHOOSE(others, in) : signatures[what]);
}

/* Bytes from here on are other members than those of the table, so that inputs keep their meaning. */
#define OBSERVING 250

/* A call to the bus, with the arguments of the method. */
static inline uint8_t driver_call(struct marshal_header *header, struct input *in)
{
    static const uint8_t bodies[COUNT(word_members)] = {0, 3, 3, 1, 1, 2, 1, 0, 0, 1,
                                                        1, 1, 0, 0, 0, 1, 0, 2, 0};
    uint8_t byte = input_byte(in), member = byte % COUNT(word_members);
    header->type = MESSAGE_METHOD_CALL;
    header->destination = SPAN("org.freedesktop.DBus");
    header->path = SPAN("/");
    if (byte >= OBSERVING) {
        header->path = SPAN("/org/freedesktop/DBus");
        header->interface = SPAN("org.omnibus.Listeners1");
        header->member = byte % 2 ? SPAN("Unwatch") : SPAN("Watch");
        return 0;
    }
    header->member = span_of(word_members[member]);
    return bodies[member];
}

static inline uint8_t broadcast(struct marshal_header *header, struct input *in)
{
    header->type = MESSAGE_SIGNAL;
    header->path = span_of(CHOOSE(word_paths, in));
    header->interface = SPAN("i.f");
    header->member = SPAN("M");
    return input_byte(in) % 8;
}

static inline uint8_t answer(struct marshal_header *header, struct input *in)
{
    uint8_t how = input_byte(in);
    header->type = how & 1 ? MESSAGE_ERROR : MESSAGE_METHOD_RETURN;
    header->error_name = how & 1 ? SPAN("e.r") : (struct span){0};
    header->destination = span_of(CHOOSE(word_names, in));
    header->reply_serial = input_byte(in);
    if (header->reply_serial > 250 || header->reply_serial == 0)
        header->reply_serial = control.asked + !control.asked;
    return how >> 1 & 7;
}

static inline uint8_t addressed(struct marshal_header *header, struct input *in)
{
    uint8_t how = input_byte(in);
    header->type = how >= 240 ? how : how & 1 ? MESSAGE_SIGNAL : MESSAGE_METHOD_CALL;
    header->flags |= how >> 4 == 8 ? MESSAGE_NO_AUTO_START : 0;
    header->destination = span_of(CHOOSE(word_names, in));
    header->path = span_of(CHOOSE(word_paths, in));
    header->interface = span_of(CHOOSE(word_interfaces, in));
    header->member = span_of(CHOOSE(word_members, in));
    if (!header->interface.s && how & 1)
        header->interface = SPAN("i.f");
    return how >> 1 & 7;
}

/* Bits of how: the form, no reply wanted, an old serial, with descriptors, in part, many times. */
static inline void write_message(struct marshal *w, uint8_t how, struct input *in)
{
    static uint8_t (*const forms[])(struct marshal_header * header,
                                    struct input * in) = {driver_call, broadcast, addressed, answer};
    struct marshal_header header = {.flags = how & 4 ? MESSAGE_NO_REPLY_EXPECTED : 0};
    header.serial = how & 8 ? 1 + input_byte(in) % 4 : ++serial;
    header.n_fds = how & 16 ? 1 + input_byte(in) % 3 : 0;
    uint8_t what = forms[how & 3](&header, in);
    if (header.serial % 8 == 3)
        header.sender = SPAN(":1.7"); /* which the relay removes */
    header.signature = body_signature(what, in);
    marshal_begin(w, &header);
    put_body(w, what, in);
    ASSERT(marshal_end(w));
}

static inline void act_message(struct input *in)
{
    static const uint32_t repeats[] = {2, 4, 16, 200};
    struct client *c = client(in);
    uint8_t how = input_byte(in);
    struct marshal *w = &client_marshal;
    write_message(w, how, in);
    uint32_t n_fds = how & 16 ? w->header.n_fds : 0, n = how & 64 ? CHOOSE(repeats, in) : 1;
    size_t size = how & 32 ? (size_t)input_byte(in) * w->size / 256 : w->size;
    for (; c && n > 0 && written + w->size <= BYTES && n_written < MESSAGES; n--) {
        client_write(c, w->data, size, n_fds);
        written += size;
        n_written++;
    }
    if (c && size < w->size && how & 128)
        client_keep(c, w->data + size, w->size - size);
    control_turn();
}

/* Names of one client only, perhaps more than are listed for each message. */
static inline void act_claims(struct input *in)
{
    struct client *c = client(in);
    for (uint32_t n = input_byte(in) % 80; c && n > 0 && n_written < MESSAGES; n--) {
        char name[16];
        struct marshal_header header = {.type = MESSAGE_METHOD_CALL,
                                        .serial = ++serial,
                                        .destination = SPAN("org.freedesktop.DBus"),
                                        .path = SPAN("/"),
                                        .member = SPAN("RequestName"),
                                        .signature = SPAN("su")};
        snprintf(name, sizeof(name), "n.x%u", serial);
        marshal_begin(&client_marshal, &header);
        marshal_string(&client_marshal, span_of(name));
        marshal_uint32(&client_marshal, 0);
        ASSERT(marshal_end(&client_marshal));
        client_write(c, client_marshal.data, client_marshal.size, 0);
        n_written++;
    }
    control_turn();
}

static inline void act_read(struct input *in)
{
    static const size_t sizes[] = {1, 20, 1000, 5000, 300000};
    struct client *c = client(in);
    size_t left = CHOOSE(sizes, in);
    while (c && left > 0 && client_read(c, left))
        left -= left < 4096 ? left : 4096;
    control_turn();
}

static inline void act_close(struct input *in)
{
    struct client *c = client(in);
    uint8_t how = input_byte(in);
    if (c && how & 1)
        sockets_shutdown(c->fd, !(how & 2), true);
    else if (c)
        client_end(c);
    control_turn();
}

#endif
