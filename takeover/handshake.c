/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "handshake.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HANDSHAKE_TIME 10000 /* milliseconds for one answer */
#define LINE_MAX_SIZE 512u

/* The kernel notes the effective ids of connect(2). The thread's only, and without those of the file system.
 */
static int connect_as(int fd, const struct sockaddr_un *name, socklen_t size, uid_t uid, gid_t gid)
{
    uid_t own_uid = geteuid();
    gid_t own_gid = getegid();
    if (setegid(gid) < 0 || seteuid(uid) < 0)
        return -errno;
    int error = connect(fd, (const struct sockaddr *)name, size) < 0 ? -errno : 0;
    if (seteuid(own_uid) < 0 || setegid(own_gid) < 0)
        return -errno;
    return error;
}

/* One line, without its end. Read byte by byte, since what follows is not ours to read here. */
static int read_line(int fd, char line[LINE_MAX_SIZE])
{
    for (size_t n = 0; n < LINE_MAX_SIZE; n++) {
        struct pollfd wait = {fd, POLLIN, 0};
        if (poll(&wait, 1, HANDSHAKE_TIME) <= 0)
            return -ETIMEDOUT;
        ssize_t got = read(fd, line + n, 1);
        if (got <= 0)
            return got < 0 ? -errno : -EACCES;
        if (n > 0 && line[n - 1] == '\r' && line[n] == '\n') {
            line[n - 1] = '\0';
            return 0;
        }
    }
    return -EPROTO;
}

static int write_all(int fd, const char *text, size_t n)
{
    return write(fd, text, n) == (ssize_t)n ? 0 : -EIO;
}

static int authenticate(int fd, uid_t uid, char guid[33])
{
    char digits[16], text[128], line[LINE_MAX_SIZE];
    snprintf(digits, sizeof(digits), "%u", uid);
    size_t n = 1 + (size_t)sprintf(text + 1, "AUTH EXTERNAL ");
    text[0] = '\0';
    for (const char *at = digits; *at; at++)
        n += (size_t)sprintf(text + n, "%02x", (unsigned char)*at);
    n += (size_t)sprintf(text + n, "\r\n");
    int error = write_all(fd, text, n);
    if (error == 0)
        error = read_line(fd, line);
    if (error < 0)
        return error;
    if (strncmp(line, "OK ", 3) != 0 || strlen(line) != 35)
        return -EACCES;
    for (const char *at = line + 3; *at; at++) {
        if (!isxdigit((unsigned char)*at))
            return -EPROTO;
    }
    memcpy(guid, line + 3, 33);
    return write_all(fd, "BEGIN\r\n", 7);
}

int handshake(const struct sockaddr_un *name, socklen_t size, uid_t uid, gid_t gid, char guid[33])
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int error = connect_as(fd, name, size, uid, gid);
    if (error == 0)
        error = authenticate(fd, uid, guid);
    if (error == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        error = -errno;
    if (error == 0)
        return fd;
    close(fd);
    return error;
}
