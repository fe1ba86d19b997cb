/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* struct ucred */
#endif
#include "accept/peer_creds.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* since Linux 6.5; SO_PEERGROUPS since 4.13 */
#endif
#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

static bool is_unix(int fd)
{
    int domain = 0;
    socklen_t size = sizeof(domain);
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

static void read_groups(int fd, struct relay_identity *identity)
{
    socklen_t size = sizeof(identity->gids);
    identity->n_gids = -1;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, identity->gids, &size) == 0)
        identity->n_gids = (int)(size / sizeof(identity->gids[0]));
}

static void read_label(int fd, struct relay_identity *identity)
{
    socklen_t size = sizeof(identity->label);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERSEC, identity->label, &size) < 0)
        size = 0;
    identity->label_size = (uint32_t)strnlen(identity->label, size);
}

static void read_command(struct relay_identity *identity)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/%u/cmdline", identity->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return;
    ssize_t n = read(fd, identity->command, sizeof(identity->command));
    identity->command_size = n > 0 ? (uint32_t)n : 0;
    /* The NUL that ends the last argument would be a blank at the end. */
    if (n > 0 && identity->command[n - 1] == '\0')
        identity->command_size--;
    close(fd);
}

bool peer_creds_user(int fd, struct peer_creds_user *user)
{
    struct ucred credentials;
    socklen_t size = sizeof(credentials);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
        return false;
    user->pid = credentials.pid > 0 ? (uint32_t)credentials.pid : 0;
    user->uid = credentials.uid;
    user->gid = credentials.gid;
    return true;
}

void peer_creds_more(int fd, const struct peer_creds_user *user, struct relay_identity *identity)
{
    identity->pid = user->pid;
    identity->uid = user->uid;
    identity->gid = user->gid;
    identity->label_size = identity->command_size = 0;
    read_groups(fd, identity);
    read_label(fd, identity);
    if (identity->pid)
        read_command(identity);
}

int peer_creds_process(int fd)
{
    int process;
    socklen_t size = sizeof(process);
    return getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &process, &size) == 0 ? process : -1;
}

_Bool relay_identify(int fd, struct relay_identity *identity)
{
    struct peer_creds_user user;
    if (!is_unix(fd) || !peer_creds_user(fd, &user))
        return false;
    peer_creds_more(fd, &user, identity);
    return true;
}

uint32_t peer_creds_groups(const struct relay_identity *identity, uint32_t *gids)
{
    uint32_t n = 1;
    gids[0] = identity->gid;
    for (int i = 0; i < identity->n_gids; i++) {
        uint32_t k = 0;
        while (k < n && gids[k] != identity->gids[i])
            k++;
        if (k == n)
            gids[n++] = identity->gids[i];
    }
    return n;
}

struct text {
    char *at;
    size_t left;
};

static void peer_creds_put(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text->at, text->left, format, arguments);
    va_end(arguments);
    size_t size = n < 0 ? 0 : (size_t)n < text->left ? (size_t)n : text->left - 1;
    text->at += size;
    text->left -= size;
}

void peer_creds_describe(const struct relay_identity *identity, char *to, size_t size)
{
    struct text text = {to, size};
    peer_creds_put(&text, "uid=%u", identity->uid);
    if (identity->pid) {
        char command[sizeof(identity->command) + 1] = {0};
        for (uint32_t i = 0; i < identity->command_size; i++) {
            char c = identity->command[i];
            command[i] = c == '\0' ? ' ' : c >= ' ' && c <= '~' ? c : '?';
        }
        peer_creds_put(&text, " pid=%u comm=\"%s\"", identity->pid, command);
    }
    if (identity->label_size)
        peer_creds_put(&text, " label=\"%.*s\"", (int)identity->label_size, identity->label);
}
