/* SPDX-License-Identifier: MIT */
#include "relay.h"

#ifndef HAVE_URING

bool uring_works(void)
{
    return false;
}

void uring_relay(void *relay)
{
    (void)relay;
    die("built without liburing");
}

void uring_open(unsigned depth)
{
    (void)depth;
    die("built without liburing");
}

void uring_send_all(const int *fd, int n, const void *data, size_t size)
{
    (void)fd, (void)n, (void)data, (void)size;
}

#else

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CAPACITY (1u << 18)

/* Receives into one buffer while the other is being sent. */
struct source {
    uint8_t *buffer[2];
    int current, pending;
    bool armed;
    size_t got, sending;
};

static struct io_uring ring;

bool uring_works(void)
{
    struct io_uring probe;
    if (io_uring_queue_init(4, &probe, 0))
        return false;
    io_uring_queue_exit(&probe);
    return true;
}

void uring_open(unsigned depth)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    int error = io_uring_queue_init_params(depth, &ring, &params);
    if (error == -EINVAL) {
        params = (struct io_uring_params){0};
        error = io_uring_queue_init_params(depth, &ring, &params);
    }
    if (error)
        die("io_uring: %s", strerror(-error));
}

void uring_send_all(const int *fd, int n, const void *data, size_t size)
{
    for (int i = 0; i < n; i++)
        io_uring_prep_send(io_uring_get_sqe(&ring), fd[i], data, size, MSG_WAITALL | MSG_NOSIGNAL);
    int error = io_uring_submit_and_wait(&ring, (unsigned)n);
    if (error < 0)
        die("io_uring: %s", strerror(-error));
    struct io_uring_cqe *done;
    unsigned head, count = 0;
    io_uring_for_each_cqe(&ring, head, done)
    {
        count++;
        if (done->res != (int)size)
            die("io_uring: send: %d", done->res);
    }
    io_uring_cq_advance(&ring, count);
}

static void submit(const struct relay *relay, struct source *source, int i)
{
    int first, n = relay_targets(relay, i, &first);
    if (source->got && !source->pending) {
        for (int k = 0; k < n; k++) {
            struct io_uring_sqe *send = io_uring_get_sqe(&ring);
            io_uring_prep_send(send, first + k, source->buffer[source->current], source->got,
                               MSG_WAITALL | MSG_NOSIGNAL);
            send->flags |= IOSQE_FIXED_FILE;
            send->user_data = (uint64_t)i << 1;
        }
        source->pending = n;
        source->sending = source->got;
        source->got = 0;
        source->current ^= 1;
    }
    if (!source->armed && !source->got) {
        struct io_uring_sqe *receive = io_uring_get_sqe(&ring);
        io_uring_prep_recv(receive, i, source->buffer[source->current], CAPACITY, 0);
        receive->flags |= IOSQE_FIXED_FILE;
        receive->user_data = (uint64_t)i << 1 | 1;
        source->armed = true;
    }
}

static void complete(struct source *source, bool received, int result)
{
    if ((received && result <= 0) || result == -EPIPE)
        _exit(0);
    if (received) {
        source->armed = false;
        source->got = (size_t)result;
    } else {
        if ((size_t)result != source->sending)
            die("io_uring: short send %d of %zu", result, source->sending);
        source->pending--;
    }
}

void uring_relay(void *argument)
{
    struct relay *relay = argument;
    int n_sources = relay->n == 2 ? 2 : 1, error;
    struct source sources[2] = {0};
    unsigned depth = 64;
    while (depth < (unsigned)relay->n * 2 + 8)
        depth *= 2;
    uring_open(depth);
    io_uring_register_ring_fd(&ring);
    if ((error = io_uring_register_files(&ring, relay->fd, (unsigned)relay->n)))
        die("io_uring files: %s", strerror(-error));
    for (int i = 0; i < n_sources * 2; i++)
        if (!(sources[i / 2].buffer[i % 2] = malloc(CAPACITY)))
            die("out of memory");
    process_ready();
    for (;;) {
        for (int i = 0; i < n_sources; i++)
            submit(relay, &sources[i], i);
        error = io_uring_submit_and_wait(&ring, 1);
        if (error < 0 && error != -EINTR)
            die("io_uring: %s", strerror(-error));
        struct io_uring_cqe *done;
        unsigned head, count = 0;
        io_uring_for_each_cqe(&ring, head, done)
        {
            complete(&sources[done->user_data >> 1], done->user_data & 1, done->res);
            count++;
        }
        io_uring_cq_advance(&ring, count);
    }
}

#endif
