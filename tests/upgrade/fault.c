/* SPDX-License-Identifier: MIT */

/*
 * Preloaded into a bus: the program that an upgrade executes, as long as there is a previous one to return
 * to, fails while it restores the data plane, as the variable FAULT says; and its alarms are early.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define EARLY 2 /* seconds */

static int is_resumed(void)
{
    static char line[4096];
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, line, sizeof(line));
    close(fd);
    return n > 0 && memmem(line, (size_t)n, "--previous=", strlen("--previous="));
}

/* Among the first that a restore calls. */
int epoll_create1(int flags)
{
    static int (*real)(int);
    const char *fault = getenv("FAULT");
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "epoll_create1");
    if (!fault || !is_resumed())
        return real(flags);
    if (strcmp(fault, "refuse") == 0) {
        errno = ENOMEM;
        return -1;
    }
    if (strcmp(fault, "crash") == 0)
        *(volatile int *)0 = 0;
    if (strcmp(fault, "abort") == 0)
        abort();
    while (strcmp(fault, "hang") == 0)
        pause();
    return real(flags);
}

unsigned alarm(unsigned seconds)
{
    struct itimerval timer = {
        .it_value = {.tv_sec = seconds > EARLY && is_resumed() ? EARLY : (time_t)seconds}};
    setitimer(ITIMER_REAL, &timer, NULL);
    return 0;
}
