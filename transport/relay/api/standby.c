/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* clone, F_ADD_SEALS, memfd_create */
#endif
#include "api/standby.h"

#include "api/relay_internal.h"
#include "base/shared_heap.h"
#include "mediation/audit_right.h"
#include "resume/salvage.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * The standby of a bus: a child that waits for the end of the bus, and then executes the program with all
 * connections.
 *
 * - It shares the table of descriptors (CLONE_FILES), so it has whatever the bus opens later, and what the
 *   bus closes is closed. Its memory is its own, apart from the shared heap: the OOM killer ends all
 *   processes with one memory.
 * - It sleeps on a pidfd of the bus. When the bus has ended without relay_dismiss, it writes the state
 *   (resume/salvage.h) into a sealed memfd, as an upgrade does, and executes the program to go on with that.
 * - execve(2) ends the sharing of descriptors. So the next bus makes a standby of its own, and a bus ends
 *   its standby before an upgrade.
 * - Everything it needs is prepared before: it allocates nothing from the C library, whose heap it gave up,
 *   and calls nothing that does (qsort, stdio).
 * - It is not ended by what ends the bus in good order, and waits for that end. Signals that mean the bus
 *   are passed on: under systemd the standby is the unit's main process, and the only one that a reload,
 *   KillMode=mixed and systemctl kill signal; the bus may get such a signal twice. SIGABRT, with which
 *   systemd ends a bus that hangs, ends the standby too. If it fails or hangs itself, it ends, and the bus
 *   has crashed for good.
 *
 * Rejected: a guard that runs the bus as its child, since an upgrade executes in the bus's process, after
 * which the two do not share descriptors any more. Descriptors kept by the service manager: a message for
 * each connection, and only under systemd.
 */

#define STANDBY_STACK ((size_t)512 * 1024)
#define STANDBY_SECONDS 10 /* for the state */
#define RESUME_OPTION "--resume-fd="
#define LIBRARY_OPTION "--library="
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif

/* Ignored by a standby or passed on, and as usual in what it executes. */
static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR2, SIGUSR1, SIGQUIT, SIGPIPE};
static const int passed_on[] = {SIGTERM, SIGINT, SIGHUP};
#define HELD 4 /* of these the bus holds until it is ready for them */

/* In the shared heap, as long as there may be a standby. */
struct standby {
    struct relay *relay;
    _Atomic bool dismissed;
    int bus;       /* pidfd */
    sigset_t mask; /* of the bus */
    char **command, **environment;
    dev_t device;    /* of the program, */
    ino_t inode;     /* as it was */
    char resume[32]; /* the option with the number of the state */
    int *fds;
    uint32_t n_fds;
    void *stack;
};

static size_t texts_size(const char *const *texts, uint32_t *n)
{
    size_t size = 0;
    for (*n = 0; texts[*n]; (*n)++)
        size += strlen(texts[*n]) + 1;
    return size;
}

/* Copies texts into one object. NULL: no memory. */
static char **texts_copy(const char *const *texts)
{
    uint32_t n;
    size_t size = texts_size(texts, &n);
    char **copy = malloc(((size_t)n + 1) * sizeof(char *) + size);
    char *at = copy ? (char *)(copy + n + 1) : NULL;
    for (uint32_t i = 0; copy && i < n; i++) {
        size_t length = strlen(texts[i]) + 1;
        copy[i] = memcpy(at, texts[i], length);
        at += length;
    }
    if (copy)
        copy[n] = NULL;
    return copy;
}

static void standby_free(struct standby *s)
{
    if (!s)
        return;
    if (s->stack)
        munmap(s->stack, STANDBY_STACK);
    if (s->bus >= 0)
        close(s->bus);
    free(s->command);
    free(s->environment);
    free(s->fds);
    free(s);
}

static struct standby *standby_new(struct relay *relay, const struct relay_standby *how)
{
    struct standby *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->relay = relay;
    s->bus = (int)syscall(SYS_pidfd_open, getpid(), 0);
    s->command = texts_copy(how->command);
    s->environment = texts_copy(how->environment);
    s->fds = calloc((size_t)how->n_fds + 1, sizeof(int));
    void *stack =
        mmap(NULL, STANDBY_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    s->stack = stack == MAP_FAILED ? NULL : stack;
    if (s->bus < 0 || !s->command || !s->environment || !s->fds || !s->stack) {
        standby_free(s);
        return NULL;
    }
    struct stat program;
    if (stat(s->command[0], &program) == 0) {
        s->device = program.st_dev;
        s->inode = program.st_ino;
    }
    memcpy(s->fds, how->fds, how->n_fds * sizeof(int));
    s->n_fds = how->n_fds;
    for (char **at = s->command; *at; at++) {
        if (strcmp(*at, RESUME_OPTION) == 0)
            *at = s->resume;
    }
    return s;
}

static _Noreturn void fail(const char *what, const char *why)
{
    char text[256];
    int n = snprintf(text, sizeof(text),
                     "omnibusd[%d]: the bus has crashed, and its standby can't go on: %s: %s\n", getpid(),
                     what, why);
    ssize_t written = write(2, text, n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1);
    _exit(written < 0 ? 2 : 1);
}

/* The state of the dead bus, sealed. */
static int write_state(const struct standby *s)
{
    static const struct kept_sections none;
    const struct kept_sections *kept = s->relay->kept ? s->relay->kept : &none;
    struct dump_result result = {0};
    int fd = memfd_create("omnibus-state", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
        fd = memfd_create("omnibus-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        fail("memfd_create", strerror(errno));
    if (salvage(&s->relay->bus, fd, kept->bytes, kept->size, &result) < 0)
        fail("the state", result.why);
    if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
        fail("F_ADD_SEALS", strerror(errno));
    return fd;
}

/* Lets the descriptors of the state outlive execve(2). */
static void keep_descriptors(const struct standby *s, int state)
{
    const uint8_t *bytes;
    size_t size;
    if (relay_state_map(state, &bytes, &size) < 0)
        fail("the state", "it is damaged");
    int64_t n = relay_state_descriptors(bytes, size, NULL, 0);
    int *fds = n < 0 ? NULL : calloc((size_t)n + 1, sizeof(int));
    if (!fds)
        fail("the state", "it has no descriptors");
    relay_state_descriptors(bytes, size, fds, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        fcntl(fds[i], F_SETFD, 0);
    for (uint32_t i = 0; i < s->n_fds; i++)
        fcntl(s->fds[i], F_SETFD, 0);
    fcntl(state, F_SETFD, 0);
}

static void handle_signals(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
        sigaction(ignored[i], &action, NULL);
}

/* The library belongs to the program that was there: another one finds its own. */
static void drop_library(char **command)
{
    char **to = command;
    for (; *command; command++) {
        if (strncmp(*command, LIBRARY_OPTION, strlen(LIBRARY_OPTION)) != 0)
            *to++ = *command;
    }
    *to = NULL;
}

/* Becomes the bus. */
static _Noreturn void become_bus(struct standby *s)
{
    shared_heap_salvage();
    alarm(STANDBY_SECONDS);
    int state = write_state(s);
    keep_descriptors(s, state);
    alarm(0);
    snprintf(s->resume, sizeof(s->resume), RESUME_OPTION "%d", state);
    struct stat program;
    if (stat(s->command[0], &program) < 0 || program.st_dev != s->device || program.st_ino != s->inode)
        drop_library(s->command);
    handle_signals(SIG_DFL);
    sigprocmask(SIG_SETMASK, &s->mask, NULL);
    audit_right_pass();
    execve(s->command[0], s->command, s->environment);
    fail(s->command[0], strerror(errno));
}

static int watched_bus; /* pidfd; in the process of the standby only */

static void pass_on(int number)
{
    int error = errno;
    syscall(SYS_pidfd_send_signal, watched_bus, number, NULL, 0);
    errno = error;
}

static int standby_run(void *context)
{
    struct standby *s = context;
    struct pollfd end = {.fd = s->bus, .events = POLLIN};
    struct sigaction by_default = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &by_default, NULL);
    handle_signals(SIG_IGN);
    watched_bus = s->bus;
    for (size_t i = 0; i < sizeof(passed_on) / sizeof(*passed_on); i++)
        sigaction(passed_on[i], &(struct sigaction){.sa_handler = pass_on}, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    standby_trim(&end);
    prctl(PR_SET_NAME, "omnibus-standby");
    while (poll(&end, 1, -1) < 0 && errno == EINTR)
        continue;
    if (atomic_load(&s->dismissed))
        _exit(0);
    become_bus(s);
}

/* The faults of the bus, which end it; the standby is to know of them. */
static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
#define FAULTS (sizeof(faults) / sizeof(*faults))
static struct sigaction before_faults[FAULTS];
static struct relay *faulty;

void standby_unblock_faults(sigset_t *set)
{
    for (size_t i = 0; i < FAULTS; i++)
        sigdelset(set, faults[i]);
}

/* Notes the fault, and leaves the rest to the handler of before: of the interpreter, or the default. */
static void note_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    struct crash_note *note = &faulty->bus.crash_note;
    note->in_data_plane = faulty->started && pthread_equal(pthread_self(), faulty->thread);
    note->signal = number;
    for (size_t i = 0; i < FAULTS; i++) {
        if (faults[i] == number)
            sigaction(number, &before_faults[i], NULL);
    }
    if (info->si_code <= 0) /* otherwise the instruction faults once more */
        raise(number);
}

/* Once. */
static void catch_faults(struct relay *relay)
{
    struct sigaction action = {.sa_sigaction = note_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    bool caught = faulty != NULL;
    faulty = relay;
    for (size_t i = 0; i < FAULTS && !caught; i++)
        sigaction(faults[i], &action, &before_faults[i]);
}

int relay_share_heap(void)
{
    return shared_heap_begin();
}

int relay_keep(struct relay *relay, const uint8_t *sections, size_t size)
{
    if (state_check_sections(sections, size) < 0)
        return -EINVAL;
    struct kept_sections *kept = malloc(sizeof(*kept) + size), *old = relay->kept;
    if (!kept)
        return -ENOMEM;
    kept->size = size;
    memcpy(kept->bytes, sections, size);
    atomic_signal_fence(memory_order_seq_cst);
    relay->kept = kept;
    free(old);
    return 0;
}

int64_t relay_standby(struct relay *relay, const struct relay_standby *how, int *pidfd)
{
    if (!shared_heap_owns(relay))
        return -EOPNOTSUPP;
    struct standby *s = standby_new(relay, how);
    if (!s)
        return -ENOMEM;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    s->mask = before;
    for (int i = 0; i < HELD; i++)
        sigaddset(&s->mask, ignored[i]);
    catch_faults(relay);
    shared_heap_inherit(true);
    int pid = clone(standby_run, (uint8_t *)s->stack + STANDBY_STACK, CLONE_FILES | CLONE_PIDFD | SIGCHLD, s,
                    pidfd);
    int error = -errno;
    shared_heap_inherit(false);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    munmap(s->stack, STANDBY_STACK);
    s->stack = NULL;
    if (pid < 0) {
        standby_free(s);
        return error;
    }
    standby_free(relay->standby);
    relay->standby = s;
    return pid;
}

void relay_dismiss(struct relay *relay)
{
    if (relay->standby)
        atomic_store(&relay->standby->dismissed, true);
}
