/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "sockets.h"

#include "accept/peer_creds.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SOCKETS_MAX (1u << 20) /* descriptors of a process: the kernel's fs.nr_open */
#define LOGIND_USERS "/run/systemd/users"
#define LOGINFO_SIZE 5120u

static int socket_copy(int pidfd, int fd)
{
    return (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
}

static int socket_number(int fd, int option)
{
    int value = 0;
    socklen_t size = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

static bool socket_named(const struct socket_entry *entry)
{
    return entry->name_size > offsetof(struct sockaddr_un, sun_path);
}

static enum socket_kind socket_classify(int fd, struct socket_entry *entry)
{
    int domain = socket_number(fd, SO_DOMAIN), type = socket_number(fd, SO_TYPE);
    if (domain == AF_INET || domain == AF_INET6)
        return type == SOCK_STREAM ? SOCKET_OUTSIDE : SOCKET_OWN;
    entry->name_size = sizeof(entry->name);
    if (domain != AF_UNIX || type != SOCK_STREAM ||
        getsockname(fd, (struct sockaddr *)&entry->name, &entry->name_size) < 0)
        return SOCKET_OWN;
    if (entry->name_size > sizeof(entry->name))
        return SOCKET_OWN;
    if (socket_number(fd, SO_ACCEPTCONN) == 1)
        return SOCKET_LISTENER;
    return socket_named(entry) ? SOCKET_CLIENT : SOCKET_OWN;
}

static void *socket_copied(const void *bytes, size_t n)
{
    void *copy = malloc(n > 0 ? n : 1);
    if (copy && n > 0)
        memcpy(copy, bytes, n);
    return copy;
}

static void socket_peer_free(struct socket_peer *peer)
{
    free(peer->gids);
    free(peer->label);
    free(peer->loginfo);
    *peer = (struct socket_peer){0};
}

/* As when a connection is admitted (accept/admit.c). False: nothing is known, or there is no memory. */
static bool socket_peer_read(int fd, struct socket_peer *peer)
{
    static struct relay_identity identity; /* too large for the stack */
    static uint32_t gids[1 + sizeof(identity.gids) / sizeof(*identity.gids)];
    char loginfo[LOGINFO_SIZE];
    if (!relay_identify(fd, &identity) || identity.n_gids < 0)
        return false;
    peer_creds_describe(&identity, loginfo, sizeof(loginfo));
    peer->uid = identity.uid;
    peer->pid = identity.pid;
    peer->n_gids = peer_creds_groups(&identity, gids);
    peer->gids = socket_copied(gids, peer->n_gids * sizeof(*gids));
    peer->label_size = identity.label_size;
    peer->label = socket_copied(identity.label, identity.label_size);
    peer->loginfo = socket_copied(loginfo, strlen(loginfo) + 1);
    peer->at_console = relay_at_console(LOGIND_USERS, peer->uid);
    return peer->gids && peer->label && peer->loginfo;
}

static bool sockets_reserve(struct sockets *sockets, size_t fd)
{
    if (fd < sockets->n)
        return true;
    size_t n = fd < SOCKETS_MAX / 4 ? 2 * fd + 64 : SOCKETS_MAX;
    struct socket_entry *entries = realloc(sockets->entries, n * sizeof(*entries));
    if (!entries)
        return false;
    memset(entries + sockets->n, 0, (n - sockets->n) * sizeof(*entries));
    sockets->entries = entries;
    sockets->n = n;
    return true;
}

/* A closed descriptor is no error: its entry is empty. */
static int sockets_look_at(struct sockets *sockets, int pidfd, int fd)
{
    struct stat found;
    struct socket_entry *entry = &sockets->entries[fd];
    int copy = socket_copy(pidfd, fd);
    if (copy < 0)
        return errno == EBADF ? 0 : -errno;
    if (fstat(copy, &found) < 0 || !S_ISSOCK(found.st_mode)) {
        entry->kind = SOCKET_NONE;
        close(copy);
        return 0;
    }
    int error = 0;
    if (entry->kind == SOCKET_NONE || entry->inode != found.st_ino || entry->device != found.st_dev) {
        socket_peer_free(&entry->peer);
        entry->device = found.st_dev;
        entry->inode = found.st_ino;
        entry->kind = socket_classify(copy, entry);
        if (entry->kind == SOCKET_CLIENT && !socket_peer_read(copy, &entry->peer))
            error = -ENODATA;
    }
    close(copy);
    return error;
}

/* The sockets that are gone are forgotten. */
static int sockets_walk(struct sockets *sockets, DIR *directory, int pidfd, uint8_t *seen)
{
    int error = 0;
    for (struct dirent *one; error == 0 && (one = readdir(directory));) {
        char *end;
        unsigned long fd = strtoul(one->d_name, &end, 10);
        if (*end != '\0' || end == one->d_name)
            continue;
        if (fd >= SOCKETS_MAX)
            return -EMFILE;
        if (!sockets_reserve(sockets, fd))
            return -ENOMEM;
        error = sockets_look_at(sockets, pidfd, (int)fd);
        seen[fd] = 1;
    }
    for (size_t fd = 0; fd < sockets->n; fd++) {
        if (!seen[fd])
            sockets->entries[fd].kind = SOCKET_NONE;
    }
    return error;
}

int sockets_update(struct sockets *sockets, int pid, int pidfd)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    uint8_t *seen = calloc(SOCKETS_MAX, 1);
    DIR *directory = opendir(path);
    int error = !seen ? -ENOMEM : !directory ? -errno : sockets_walk(sockets, directory, pidfd, seen);
    if (directory)
        closedir(directory);
    free(seen);
    return error;
}

void sockets_free(struct sockets *sockets)
{
    for (size_t fd = 0; fd < sockets->n; fd++)
        socket_peer_free(&sockets->entries[fd].peer);
    free(sockets->entries);
    *sockets = (struct sockets){0};
}

int socket_end(int pidfd, int fd)
{
    int copy = socket_copy(pidfd, fd);
    if (copy < 0)
        return -errno;
    int error = shutdown(copy, SHUT_RDWR) < 0 ? -errno : 0;
    close(copy);
    return error;
}
