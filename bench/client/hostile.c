/* SPDX-License-Identifier: MIT */
#include "hostile.h"

#include "options.h"
#include "process.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#define PAUSE_US 1000

void hostile_set_uid(void)
{
    if (options.uid == getuid())
        return;
    if ((!getuid() && setgroups(0, NULL)) || setresgid(options.uid, options.uid, options.uid) ||
        setresuid(options.uid, options.uid, options.uid))
        die("can't become %u: %s", options.uid, strerror(errno));
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of the user has cleared it */
}

void hostile_discard(int fd)
{
    static char bytes[1 << 16];
    while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        continue;
}

bool hostile_send(struct connection *c, struct msghdr *header)
{
    while (header->msg_iov->iov_len) {
        ssize_t n = sendmsg(c->fd, header, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            header->msg_iov->iov_base = (char *)header->msg_iov->iov_base + n;
            header->msg_iov->iov_len -= (size_t)n;
            header->msg_controllen = 0;
            continue;
        }
        if (errno == EINTR)
            continue;
        /* too many descriptors in flight: not a disconnection */
        if (errno != EAGAIN && errno != ETOOMANYREFS)
            return false;
        struct pollfd poller = {c->fd, POLLIN | (errno == EAGAIN ? POLLOUT : 0), 0};
        poll(&poller, 1, errno == EAGAIN ? -1 : 1);
        hostile_discard(c->fd);
    }
    hostile_discard(c->fd);
    return true;
}

void hostile_connect(struct connection *c, void (*how)(struct connection *))
{
    while (!connection_try(c, how))
        usleep(PAUSE_US);
}

void hostile_reconnect(struct connection *c, void (*how)(struct connection *))
{
    atomic_fetch_add(&shared->cut_off, 1);
    connection_close(c);
    hostile_connect(c, how);
}
