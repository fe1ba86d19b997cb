/* SPDX-License-Identifier: MIT */
#include "fanout.h"

#include "pair.h"
#include "process.h"

#define ANSWER "Tock"

void fanout_answer(struct connection *c, uint64_t number)
{
    static struct buffer out;
    header_write(&out, &(struct header){.type = SIGNAL,
                                        .flags = NO_REPLY,
                                        .path = PATH,
                                        .interface = INTERFACE,
                                        .member = ANSWER,
                                        .destination = shared->name[0],
                                        .signature = "t",
                                        .body_size = sizeof(number)});
    write_u32(out.data + SERIAL_AT, ++c->serial);
    buffer_put(&out, &number, sizeof(number));
    connection_send(c, out.data, out.size);
}

void fanout_take_answers(struct connection *c, int subs, uint64_t number)
{
    struct message m;
    uint64_t answered;
    for (int i = 0; i < subs; i++) {
        connection_next(c, &m);
        if (m.type != SIGNAL || !same(m.destination, c->name) || !same(m.path, PATH) ||
            !same(m.interface, INTERFACE) || !same(m.member, ANSWER) || !same(m.signature, "t") ||
            m.body_size != sizeof(answered))
            die("wrong answer: type %u sender %s member %s", m.type, shown(m.sender), shown(m.member));
        memcpy(&answered, m.body, sizeof(answered));
        if (answered != number)
            die("LOST OR REORDERED: answer to %llu, want %llu", (unsigned long long)answered,
                (unsigned long long)number);
    }
}
