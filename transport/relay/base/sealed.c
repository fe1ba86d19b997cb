/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* F_GET_SEALS */
#endif
#include "base/sealed.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALED_LINK "/memfd:omnibus" /* begins what /proc/self/fd says of it */

static bool has_our_name(int fd)
{
    char path[32], name[sizeof(SEALED_LINK)];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, name, sizeof(name));
    return n >= (ssize_t)sizeof(SEALED_LINK) - 1 && memcmp(name, SEALED_LINK, sizeof(SEALED_LINK) - 1) == 0;
}

bool sealed_is_ours(int fd)
{
    struct stat found;
    int seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & SEALED_SEALS) == SEALED_SEALS && fstat(fd, &found) == 0 &&
           (found.st_uid == 0 || found.st_uid == geteuid()) && has_our_name(fd);
}
