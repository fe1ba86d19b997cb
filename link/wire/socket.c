/* SPDX-License-Identifier: MIT */
#include "frame.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * The system calls, and not the functions of libc, which change the ids of all threads (POSIX): another
 * thread would act as the other user meanwhile. Machines with 16-bit ids have these under names of their own.
 */
#ifdef SYS_setresuid32
#define SET_UIDS SYS_setresuid32
#define SET_GIDS SYS_setresgid32
#define SET_GROUPS SYS_setgroups32
#else
#define SET_UIDS SYS_setresuid
#define SET_GIDS SYS_setresgid
#define SET_GROUPS SYS_setgroups
#endif

#define KEEP ((uid_t)-1)
#define MAX_GROUPS 65536

bool has_input(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || (errno != EAGAIN && errno != EINTR);
}

static int change_ids(uid_t uid, gid_t gid)
{
    if (syscall(SET_GROUPS, 0, NULL) != 0)
        return -errno;
    if (syscall(SET_GIDS, KEEP, gid, KEEP) != 0 || syscall(SET_UIDS, KEEP, uid, KEEP) != 0)
        return -errno;
    return 0;
}

static void change_ids_back(uid_t uid, gid_t gid, const gid_t *groups, int n_groups)
{
    if (syscall(SET_UIDS, KEEP, uid, KEEP) != 0 || syscall(SET_GIDS, KEEP, gid, KEEP) != 0 ||
        syscall(SET_GROUPS, n_groups, groups) != 0)
        abort();
}

int connect_as(int fd, const void *address, size_t size, uint32_t uid, uint32_t gid)
{
    const uid_t own_uid = geteuid();
    const gid_t own_gid = getegid();
    if (uid == own_uid && gid == own_gid)
        return connect(fd, address, (socklen_t)size) == 0 ? 0 : -errno;
    /* not one of our ids, but those that mean "keep" */
    if (uid == KEEP || gid == KEEP)
        return -EINVAL;
    const int n_groups = getgroups(0, NULL);
    if (n_groups < 0 || n_groups > MAX_GROUPS)
        return -EINVAL;
    gid_t *groups = calloc((size_t)n_groups + 1, sizeof(*groups));
    if (!groups)
        return -ENOMEM;
    int result = -EINVAL;
    if (getgroups(n_groups, groups) == n_groups) {
        result = change_ids(uid, gid);
        if (result == 0 && connect(fd, address, (socklen_t)size) != 0)
            result = -errno;
        /* Also if only the groups were changed. Without privileges nothing was. */
        if (result != -EPERM || geteuid() != own_uid || getegid() != own_gid ||
            getgroups(0, NULL) != n_groups)
            change_ids_back(own_uid, own_gid, groups, n_groups);
    }
    free(groups);
    return result;
}
