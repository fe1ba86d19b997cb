/* SPDX-License-Identifier: MIT */

/* Preloaded into a bus: when it reads certain bytes, it is as if they had led to a fault. */

#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TEXT "Poison"

int recvmmsg(int fd, struct mmsghdr *messages, unsigned int n, int flags, struct timespec *timeout)
{
    int received = (int)syscall(SYS_recvmmsg, fd, messages, n, flags, timeout);
    if (received > 0 && memmem(messages->msg_hdr.msg_iov->iov_base, messages->msg_len, TEXT, strlen(TEXT)))
        raise(SIGSEGV);
    return received;
}
