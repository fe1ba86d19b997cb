/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TAKEOVER_SOCKETS_H
#define OMNIBUS_TAKEOVER_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/*
 * The sockets of the daemon, looked at through copies that pidfd_getfd(2) makes. A client is a connected Unix
 * socket with the name of a listening one: that is how accept(2) makes them, and not socketpair(2).
 */

enum socket_kind {
    SOCKET_NONE,
    SOCKET_LISTENER,
    SOCKET_CLIENT,
    SOCKET_OUTSIDE, /* TCP, listening or not: it is not carried */
    SOCKET_OWN,     /* a pair, the log, the service manager */
};

/* Who is at the other end of a client's socket. */
struct socket_peer {
    uint32_t uid, pid, n_gids, label_size;
    uint32_t *gids; /* the primary first */
    char *label, *loginfo;
    bool at_console;
};

struct socket_entry {
    enum socket_kind kind;
    uint64_t device, inode;
    struct sockaddr_un name; /* its own; of a client that of the listener */
    socklen_t name_size;
    struct socket_peer peer; /* of a client */
};

struct sockets {
    struct socket_entry *entries; /* by descriptor */
    size_t n;
};

/* Looks at all of them; entries of sockets that are still there are kept. 0 or -errno. */
int sockets_update(struct sockets *sockets, int pid, int pidfd);
/* NULL: it is no socket. */
static inline struct socket_entry *sockets_at(const struct sockets *sockets, uint64_t fd)
{
    return fd < sockets->n && sockets->entries[fd].kind != SOCKET_NONE ? &sockets->entries[fd] : NULL;
}
void sockets_free(struct sockets *sockets);
/* Ends a connection of the daemon, which then sees that it has ended. 0 or -errno. */
int socket_end(int pidfd, int fd);

#endif
