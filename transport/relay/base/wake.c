/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pipe2 */
#endif
#include "base/wake.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int wake_open(struct wake *wake)
{
    int ends[2];
    wake->reader = wake->writer = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake->reader >= 0)
        return 0;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    wake->reader = ends[0];
    wake->writer = ends[1];
    return 0;
}

void wake_close(struct wake *wake)
{
    if (wake->writer >= 0 && wake->writer != wake->reader)
        close(wake->writer);
    if (wake->reader >= 0)
        close(wake->reader);
    wake->reader = wake->writer = -1;
}

void wake_up(const struct wake *wake)
{
    uint64_t one = 1;
    ssize_t n = write(wake->writer, &one, sizeof(one));
    (void)n; /* EAGAIN: the descriptor is readable already */
}

void wake_clear(const struct wake *wake)
{
    uint64_t some[64]; /* one read empties an eventfd; a pipe with more in it stays readable */
    ssize_t n = read(wake->reader, some, sizeof(some));
    (void)n;
}
