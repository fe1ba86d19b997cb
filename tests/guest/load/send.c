/* SPDX-License-Identifier: MIT */
#include "order.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERIALS (1u << 24) /* serials of these messages begin here; those of driver calls are below */
#define BIG 80000u
#define FEW 32

static const char *const members[KINDS] = {
    [CAST] = "Cast", [EXTRA] = "Extra", [NOTE] = "Note", [ASK] = "Ask",
    [SEEK] = "Ask",  [TELL] = "Tell",   [BYE] = "Cast",  [END] = "Cast"};

void talker_name(int number, enum how how, char name[64])
{
    snprintf(name, 64, "org.omnibus.load.%s%d", how == BY_STEADY ? "Steady" : "Fleeting", number);
}

/* Half of the clients block in send, as most programs do; the others read meanwhile. */
static void send_bytes(struct talker *t, const uint8_t *data, size_t size, int fd)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec part = {(void *)(uintptr_t)data, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
        message.msg_control = &control;
        message.msg_controllen = sizeof(control.bytes);
    }
    ssize_t n = 0;
    if (fd >= 0 || t->number % 2) {
        do
            n = sendmsg(t->c.fd, &message, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        if (n < 0)
            die("sendmsg: %s", strerror(errno));
    }
    connection_send(&t->c, data + n, size - (size_t)n);
}

static void send_message(struct talker *t, struct header *header, enum kind kind, int to)
{
    static struct buffer out;
    static const uint8_t zeros[2 * BIG];
    if (t->sent == MAX_MESSAGES)
        die("more than %u messages", MAX_MESSAGES);
    bool is_big = !t->calm && kind < BYE && random_below(&t->state, FEW) == 0;
    bool has_fd = !t->calm && kind < BYE && random_below(&t->state, FEW) == 0;
    uint32_t size = is_big ? BIG + random_below(&t->state, BIG) : random_below(&t->state, 200);
    struct words words = {kind, (uint32_t)t->number, t->sent, t->casts, size};
    header->path = header->type == RETURN ? NULL : PATH;
    header->interface = header->type == RETURN ? NULL : INTERFACE;
    header->member = members[kind];
    header->signature = "uuuuay";
    header->unix_fds = has_fd;
    header->body_size = sizeof(words) + size;
    header_write(&out, header);
    write_u32(out.data + SERIAL_AT, SERIALS + t->sent);
    buffer_put(&out, &words, sizeof(words));
    buffer_put(&out, zeros, size);
    atomic_store(&records->sent[t->number][t->sent++].to, (uint8_t)to);
    atomic_fetch_add(&records->kinds[kind], 1);
    atomic_fetch_add(&records->big, is_big);
    atomic_fetch_add(&records->descriptors, has_fd);
    int fd = has_fd ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
    send_bytes(t, out.data, out.size, fd);
    if (fd >= 0)
        close(fd);
}

void talker_send(struct talker *t, enum kind kind, int to, enum how how)
{
    char name[64];
    bool calls = kind == ASK || kind == SEEK || kind == TELL;
    struct header header = {.type = calls ? CALL : SIGNAL, .flags = kind == TELL ? NO_REPLY : 0};
    talker_name(to, how, name);
    if (to < MAX_CLIENTS)
        header.destination = how == BY_UNIQUE ? shared->name[to] : name;
    if (kind == ASK || kind == SEEK) {
        t->asked[t->sent] = true;
        t->unanswered++;
    }
    send_message(t, &header, kind, to);
}

void answer(struct talker *t, int to, uint32_t serial)
{
    struct header header = {.type = RETURN, .reply_serial = serial, .destination = shared->name[to]};
    send_message(t, &header, ANSWER, to);
}

static void answered(struct talker *t, uint32_t reply_serial)
{
    uint32_t number = reply_serial - SERIALS;
    if (number >= t->sent || !t->asked[number])
        die("an unexpected reply to %u", number);
    t->asked[number] = false;
    t->unanswered--;
}

/* Replies about names and rules; errors for names without an owner. */
static void receive_from_bus(struct talker *t, const struct message *m)
{
    if (m->type == RETURN && m->reply_serial == t->release)
        t->is_released = true;
    if (m->type == SIGNAL || (m->type == RETURN && m->reply_serial < SERIALS))
        return;
    if (m->type != ERROR || m->reply_serial < SERIALS || !strstr(shown(m->error), "ServiceUnknown"))
        die("error %s: %s", shown(m->error), message_text(m));
    answered(t, m->reply_serial);
    atomic_store(&records->sent[t->number][m->reply_serial - SERIALS].refused, 1);
    atomic_fetch_add(&records->refused, 1);
}

static void note(struct talker *t, const struct words *w)
{
    if (w->from >= (uint32_t)load.clients || w->kind >= KINDS)
        die("a message of %u, kind %u", w->from, w->kind);
    uint32_t *next = &t->next[w->from][w->kind == SEEK];
    if (w->number < *next)
        die("number %u of %u, kind %u, comes after %u", w->number, w->from, w->kind, *next - 1);
    if (w->casts > t->casts)
        die("number %u of %u comes before cast %u, which its sender had before", w->number, w->from,
            t->casts);
    if (w->kind == SEEK && t->is_released)
        die("number %u of %u is for a released name", w->number, w->from);
    *next = w->number + 1;
    atomic_fetch_add(&records->got[t->number][w->from][w->number], 1);
    atomic_fetch_add(&records->extras, w->kind == EXTRA);
    if (w->kind != CAST && w->kind != BYE && w->kind != END)
        return;
    records->casts[t->number][t->casts++] = w->from << 24 | w->number;
    t->byes += w->kind == BYE;
    t->ends += w->kind == END;
}

/* Reacts to a cast with a message, but not after all byes. */
static void react(struct talker *t, int to)
{
    uint32_t clients = (uint32_t)load.clients;
    if (t->byes == clients || random_below(&t->state, 4 * clients))
        return;
    if (random_below(&t->state, 2))
        talker_send(t, CAST, ALL, BY_UNIQUE);
    else
        talker_send(t, NOTE, to, BY_UNIQUE);
}

void receive(struct talker *t, const struct message *m)
{
    struct words w;
    if (same(m->sender, BUS)) {
        receive_from_bus(t, m);
        return;
    }
    if (m->body_size < sizeof(w))
        die("type %u error %s from %s", m->type, shown(m->error), shown(m->sender));
    memcpy(&w, m->body, sizeof(w));
    uint32_t serial = m->serial;
    if (m->body_size != sizeof(w) + w.padding)
        die("number %u of %u has %u bytes", w.number, w.from, m->body_size);
    note(t, &w);
    if (strcmp(m->sender, shared->name[w.from]))
        die("a message of %s claims to be from %s", m->sender, shared->name[w.from]);
    if (w.kind == ANSWER)
        answered(t, m->reply_serial);
    if (w.kind == ASK || w.kind == SEEK) /* this invalidates the message */
        answer(t, (int)w.from, serial);
    if (w.kind == CAST)
        react(t, (int)w.from);
}

bool receive_all(struct talker *t, bool wait)
{
    struct message m;
    bool any = false;
    if (wait) {
        connection_next(&t->c, &m);
        receive(t, &m);
        any = true;
    }
    while (next_here(&t->c, &m)) {
        receive(t, &m);
        any = true;
    }
    return any;
}
