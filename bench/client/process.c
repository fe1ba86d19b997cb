/* SPDX-License-Identifier: MIT */
#include "process.h"

#include "options.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct shared *shared;
jmp_buf *die_target;

static const char *own_role = "main";
static pid_t children[MAX_PROCESSES];
static int n_children;

void process_fail(const char *text)
{
    if (!atomic_exchange(&shared->failed, 1))
        snprintf(shared->error, sizeof(shared->error), "%s", text);
}

void die(const char *format, ...)
{
    char text[256], line[300];
    va_list list;
    if (die_target)
        longjmp(*die_target, 1);
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    snprintf(line, sizeof(line), "%s: %s", own_role, text);
    fprintf(stderr, "busbench: FAILED: %s\n", line);
    if (shared)
        process_fail(line);
    _exit(1);
}

void futex_wait(_Atomic uint32_t *word, uint32_t value, int milliseconds)
{
    struct timespec time = {milliseconds / 1000, (milliseconds % 1000) * 1000000l};
    syscall(SYS_futex, word, FUTEX_WAIT, value, milliseconds < 0 ? NULL : &time, NULL, 0);
}

void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void process_init(void)
{
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        shared = NULL;
        die("mmap: %s", strerror(errno));
    }
}

void process_reset(void)
{
    memset(shared, 0, sizeof(*shared));
}

int process_deadline(void)
{
    return (int)(options.seconds * 4 + options.warm) + 40;
}

pid_t process_spawn(const char *role, int deadline, void (*function)(void *), void *argument)
{
    fflush(NULL);
    pid_t pid = n_children < MAX_PROCESSES ? fork() : -1;
    if (pid < 0)
        die("fork: %s", strerror(errno));
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        own_role = role;
        n_children = 0;
        alarm((unsigned)deadline);
        function(argument);
        _exit(0);
    }
    children[n_children++] = pid;
    return pid;
}

void process_user(int index)
{
    if (options.two_users && index % 2 &&
        (setresgid(options.uid, options.uid, options.uid) ||
         setresuid(options.uid, options.uid, options.uid)))
        die("setresuid: %s", strerror(errno));
}

void process_ready(void)
{
    atomic_fetch_add(&shared->ready, 1);
    futex_wake(&shared->ready);
    while (!atomic_load(&shared->go))
        futex_wait(&shared->go, 0, -1);
}

static void kill_all(void)
{
    for (int i = 0; i < n_children; i++)
        if (children[i] > 0)
            kill(children[i], SIGKILL);
}

static bool ended_well(int status)
{
    if (WIFEXITED(status) && !WEXITSTATUS(status))
        return true;
    if (WIFSIGNALED(status)) {
        char text[80];
        int number = WTERMSIG(status);
        const char *why = number == SIGALRM ? " (hung: lost message?)" : "";
        snprintf(text, sizeof(text), "a client ended by signal %d%s", number, why);
        process_fail(text);
    }
    return false;
}

/* Waits for the first `last` children except `skip`; if one fails, all others are killed. */
static bool wait_for(int last, pid_t skip)
{
    bool well = true;
    int left = 0;
    for (int i = 0; i < last; i++)
        left += children[i] > 0 && children[i] != skip;
    while (left) {
        int status;
        pid_t pid = waitpid(-1, &status, 0);
        if (pid < 0)
            break;
        for (int i = 0; i < n_children; i++) {
            if (children[i] != pid)
                continue;
            children[i] = 0;
            if (pid == skip)
                continue;
            left -= i < last;
            if (!ended_well(status)) {
                well = false;
                kill_all();
            }
        }
    }
    kill_all();
    for (int i = 0; i < n_children; i++)
        if (children[i] > 0)
            waitpid(children[i], NULL, 0);
    n_children = 0;
    return well && !atomic_load(&shared->failed);
}

bool process_wait(pid_t skip)
{
    return wait_for(n_children, skip);
}

bool process_wait_first(int n)
{
    return wait_for(n, 0);
}

bool process_start(int n)
{
    for (;;) {
        uint32_t ready = atomic_load(&shared->ready);
        if ((int)ready >= n)
            break;
        if (atomic_load(&shared->failed)) {
            wait_for(0, 0);
            return false;
        }
        futex_wait(&shared->ready, ready, 100);
    }
    atomic_store(&shared->go, 1);
    futex_wake(&shared->go);
    return true;
}
