/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "client.h"

#include "reached.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define WRITE_AT_ONCE (256u * 1024)
#define JOINED 2048u /* the largest message that is written together with the next */

struct client *client_new(uint32_t id, uint32_t slot, uint32_t uid, int fd)
{
    struct client *c = calloc(1, sizeof(*c));
    if (!c || !(c->last = calloc(CLIENTS_MAX, sizeof(*c->last))) ||
        !(c->last_named = calloc(CLIENTS_MAX * NAMES, sizeof(*c->last_named))))
        abort();
    c->id = id;
    c->slot = slot;
    c->uid = uid;
    c->fd = fd;
    c->hold_at = c->close_at = NEVER;
    c->chunk = WRITE_AT_ONCE;
    c->reading = true;
    c->read_chunk = 65536;
    return c;
}

void client_close(struct client *c)
{
    for (uint32_t i = 0; i < c->n_fds; i++)
        close(c->fds[i]);
    c->n_fds = 0;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->state = CLIENT_DEAD;
    bytes_free(&c->in);
    bytes_free(&c->out);
    c->out_at = 0;
}

void client_free(struct client *c)
{
    client_close(c);
    records_free(&c->planned);
    records_free(&c->reactions);
    free(c->attached);
    free(c->later.at);
    free(c->last);
    free(c->since);
    free(c->last_named);
    free(c);
}

void client_send_raw(struct client *c, const void *bytes, size_t n)
{
    bytes_add(&c->out, bytes, n);
}

void client_send(struct client *c, const void *header, size_t n, const void *body, size_t size,
                 uint32_t serial, uint32_t n_fds)
{
    if (n_fds > 0) {
        if (c->n_attached == c->attached_room) {
            c->attached_room = 2 * c->attached_room + 16;
            c->attached = realloc(c->attached, c->attached_room * sizeof(*c->attached));
            if (!c->attached)
                abort();
        }
        c->attached[c->n_attached++] = (struct attachment){c->out.size, serial, n_fds};
    }
    bytes_add(&c->out, header, n);
    bytes_add(&c->out, body, size);
    c->n_sent++;
}

static size_t write_end(const struct client *c)
{
    size_t end = c->out.size;
    end = c->hold_at < end ? c->hold_at : end;
    return c->close_at < end ? c->close_at : end;
}

size_t client_pending(const struct client *c)
{
    size_t end = write_end(c);
    return c->fd < 0 || end < c->out_at ? 0 : end - c->out_at;
}

/* A file containing the identity of the descriptor. */
static int make_fd(const struct client *c, uint32_t serial, uint32_t index)
{
    const uint32_t content[3] = {c->id, serial, index};
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || pwrite(fd, content, sizeof(content), 0) != sizeof(content))
        abort();
    return fd;
}

/* Writes n bytes with the descriptors of n_attached attachments. */
static ssize_t write_once(struct client *c, size_t n, const struct attachment *attached, size_t n_attached)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(CLIENT_FDS * sizeof(int))];
    } control = {0};
    int fds[CLIENT_FDS];
    struct iovec iov = {c->out.data + c->out_at, n};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
    uint32_t n_fds = 0;
    for (size_t i = 0; i < n_attached; i++)
        for (uint32_t k = 0; k < attached[i].n; k++)
            fds[n_fds++] = make_fd(c, attached[i].serial, k);
    if (n_fds > 0) {
        header.msg_control = &control;
        header.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(&control.header), fds, n_fds * sizeof(int));
    }
    ssize_t sent = sendmsg(c->fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    int error = errno;
    for (uint32_t i = 0; i < n_fds; i++)
        close(fds[i]);
    errno = error;
    reached[REACHED_FDS_SENT] += sent > 0 ? n_fds : 0;
    return sent;
}

/* The data of one write: bytes, and the descriptors of the messages that begin in them. */
struct piece {
    size_t n, n_attached;
};

static struct piece next_piece(struct client *c)
{
    const struct attachment *next = c->attached + c->attached_at, *end = c->attached + c->n_attached;
    struct piece piece = {client_pending(c), next < end && next->at == c->out_at};
    size_t chunk = WRITE_AT_ONCE;
    if (c->out_at < c->chunk_until && c->chunk < WRITE_AT_ONCE)
        chunk = prng_between(&c->chunks, 1, c->chunk);
    piece.n = piece.n < chunk ? piece.n : chunk;
    /* two messages with descriptors may be sent together, if both begin in the same write */
    bool together = piece.n_attached && next + 1 < end && next->serial % 3 == 0 &&
                    next[1].at - c->out_at < piece.n && next[1].at - c->out_at < JOINED &&
                    next->n + next[1].n <= CLIENT_FDS;
    piece.n_attached += together;
    const struct attachment *border = next + piece.n_attached;
    if (border < end && border->at - c->out_at < piece.n)
        piece.n = border->at - c->out_at;
    return piece;
}

bool client_write(struct client *c)
{
    size_t budget = WRITE_AT_ONCE;
    while (client_pending(c) > 0 && budget > 0) {
        struct piece piece = next_piece(c);
        const struct attachment *attached = c->attached + c->attached_at;
        ssize_t sent = write_once(c, piece.n, attached, piece.n_attached);
        if (sent < 0) {
            if (errno == EAGAIN || errno == EINTR) {
                reached[REACHED_SOCKET_FULL]++;
                return true;
            }
            return false;
        }
        if (piece.n_attached == 2) {
            reached[REACHED_FDS_TOGETHER]++;
            c->wild |= attached[1].at >= c->out_at + (size_t)sent; /* the descriptors came too early */
        }
        c->attached_at += piece.n_attached;
        c->out_at += (size_t)sent;
        /* small pieces are written one at a time */
        bool small = c->out_at < c->chunk_until || (size_t)sent < piece.n;
        budget = small || budget < (size_t)sent ? 0 : budget - (size_t)sent;
    }
    return true;
}

static void take_control(struct client *c, struct msghdr *header)
{
    for (struct cmsghdr *m = CMSG_FIRSTHDR(header); m; m = CMSG_NXTHDR(header, m)) {
        if (m->cmsg_level != SOL_SOCKET || m->cmsg_type != SCM_RIGHTS)
            continue;
        uint32_t n = (uint32_t)((m->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        int *fds = (int *)CMSG_DATA(m);
        for (uint32_t i = 0; i < n; i++) {
            if (c->n_fds < 4 * CLIENT_FDS)
                c->fds[c->n_fds++] = fds[i];
            else
                close(fds[i]);
        }
    }
}

bool client_read(struct client *c)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(CLIENT_FDS * sizeof(int))];
    } control;
    struct iovec iov = {bytes_room(&c->in, c->read_chunk), c->read_chunk};
    struct msghdr header = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(c->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    take_control(c, &header);
    c->in.size += (size_t)n;
    return n > 0;
}

bool client_take_fds(struct client *c, uint32_t n, int *fds)
{
    if (n > c->n_fds)
        return false;
    memcpy(fds, c->fds, n * sizeof(int));
    c->n_fds -= n;
    memmove(c->fds, c->fds + n, c->n_fds * sizeof(int));
    return true;
}

struct record *client_record(struct client *c, uint32_t serial)
{
    if (serial == 0)
        return NULL;
    struct records *records = serial < SERIAL_REACTION ? &c->planned : &c->reactions;
    uint32_t index = serial < SERIAL_REACTION ? serial - 1 : serial - SERIAL_REACTION;
    return index < records->n ? &records->at[index] : NULL;
}
