/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "process.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILE_MAX_SIZE (8u << 20) /* the kernel allows a command line of 6 MiB */
#define PROGRAM "dbus-daemon"
#define DELETED " (deleted)"

__attribute__((format(printf, 3, 4))) static bool refuse(char *why, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, size, format, arguments);
    va_end(arguments);
    return false;
}

/* The whole file, with a NUL behind it. NULL, with errno: it can't be read. */
static char *read_file(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    char *text = NULL;
    size_t n = 0, room = 0;
    for (ssize_t got = 1; fd >= 0 && got > 0; n += (size_t)got) {
        if (n + 1 >= room) {
            char *grown = room < FILE_MAX_SIZE ? realloc(text, 2 * room + 4096) : NULL;
            if (!grown) {
                n = SIZE_MAX;
                break;
            }
            text = grown;
            room = 2 * room + 4096;
        }
        got = read(fd, text + n, room - n - 1);
        if (got < 0) {
            n = SIZE_MAX;
            break;
        }
    }
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    if (fd < 0 || n == SIZE_MAX) {
        free(text);
        return NULL;
    }
    text[n] = '\0';
    *size = n;
    return text;
}

static char *read_of(const struct process *p, const char *name, size_t *size)
{
    char path[128];
    snprintf(path, sizeof(path), "/proc/%d/%s", p->pid, name);
    return read_file(path, size);
}

/* What is behind a key of /proc/PID/status. */
static const char *status_field(const char *status, const char *key)
{
    const char *at = strstr(status, key);
    return at ? at + strlen(key) : "";
}

/* Reads one number, moves *at behind it, and returns false if there is none. */
static bool read_number(const char **at, int base, unsigned *out)
{
    char *end;
    unsigned long number = strtoul(*at, &end, base);
    if (end == *at || number > UINT_MAX)
        return false;
    *at = end;
    *out = (unsigned)number;
    return true;
}

/* Reads the first `n` numbers behind a key of /proc/PID/status. */
static bool read_field(const char *status, const char *key, unsigned *out, size_t n)
{
    const char *at = status_field(status, key);
    for (size_t i = 0; i < n; i++)
        if (!read_number(&at, 10, &out[i]))
            return false;
    return true;
}

static bool read_groups(struct process *p, const char *at)
{
    size_t room = 0;
    for (char *end; *at != '\n' && *at != '\0'; at = end) {
        unsigned long gid = strtoul(at, &end, 10);
        if (end == at)
            break;
        if (p->n_groups == room) {
            room = 2 * room + 32;
            gid_t *groups = realloc(p->groups, room * sizeof(*groups));
            if (!groups)
                return false;
            p->groups = groups;
        }
        p->groups[p->n_groups++] = (gid_t)gid;
        while (*end == ' ')
            end++;
    }
    return true;
}

static bool read_status(struct process *p, char *why, size_t why_size)
{
    size_t size;
    unsigned uid[2], gid[2], threads, tracer; /* the real and the effective id */
    char *status = read_of(p, "status", &size);
    if (!status)
        return refuse(why, why_size, "There is no process %d", p->pid);
    bool whole = read_field(status, "\nUid:", uid, 2) && read_field(status, "\nGid:", gid, 2) &&
                 read_field(status, "\nThreads:", &threads, 1) &&
                 read_field(status, "\nTracerPid:", &tracer, 1) &&
                 read_groups(p, status_field(status, "\nGroups:"));
    free(status);
    if (!whole)
        return refuse(why, why_size, "The status of process %d can't be read", p->pid);
    if (threads != 1)
        return refuse(why, why_size, "It has %u threads; a dbus-daemon has one", threads);
    if (tracer != 0)
        return refuse(why, why_size, "It is traced already, by process %u", tracer);
    p->uid = uid[1];
    p->gid = gid[1];
    return true;
}

/* The program, and that it is of our architecture. */
static bool read_program(const struct process *p, char *why, size_t why_size)
{
    char link[64], path[4096];
    snprintf(link, sizeof(link), "/proc/%d/exe", p->pid);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    if (n < 0)
        return refuse(why, why_size, "The program of process %d is unknown: %s", p->pid, strerror(errno));
    path[n] = '\0';
    size_t deleted = strlen(DELETED);
    if ((size_t)n > deleted && strcmp(path + (size_t)n - deleted, DELETED) == 0)
        path[(size_t)n - deleted] = '\0'; /* a newer one was installed */
    const char *name = strrchr(path, '/');
    if (!name || strcmp(name + 1, PROGRAM) != 0)
        return refuse(why, why_size, "Process %d runs %s, and not %s", p->pid, path, PROGRAM);
    unsigned char theirs[EI_NIDENT] = {0}, ours[EI_NIDENT] = {1};
    int fd = open(link, O_RDONLY | O_CLOEXEC), own = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    bool same = fd >= 0 && own >= 0 && read(fd, theirs, EI_NIDENT) == EI_NIDENT &&
                read(own, ours, EI_NIDENT) == EI_NIDENT && theirs[EI_CLASS] == ours[EI_CLASS] &&
                theirs[EI_DATA] == ours[EI_DATA];
    if (fd >= 0)
        close(fd);
    if (own >= 0)
        close(own);
    return same || refuse(why, why_size, "%s is for another architecture", path);
}

bool process_read(struct process *p, pid_t pid, char *why, size_t why_size)
{
    *p = (struct process){.pid = pid, .pidfd = (int)syscall(SYS_pidfd_open, pid, 0)};
    if (p->pidfd < 0)
        return refuse(why, why_size, "Process %d: %s", pid, strerror(errno));
    if (!read_program(p, why, why_size) || !read_status(p, why, why_size))
        return false;
    p->arguments = read_of(p, "cmdline", &p->arguments_size);
    p->environment = read_of(p, "environ", &p->environment_size);
    if (!p->arguments || !p->environment)
        return refuse(why, why_size, "Its arguments can't be read: %s", strerror(errno));
    return true;
}

bool process_is_there(const struct process *p)
{
    return syscall(SYS_pidfd_send_signal, p->pidfd, 0, NULL, 0) == 0;
}

void process_free(struct process *p)
{
    if (p->pidfd > 0)
        close(p->pidfd);
    free(p->groups);
    free(p->arguments);
    free(p->environment);
    *p = (struct process){0};
}

bool process_has_children(const struct process *p)
{
    char name[64];
    size_t size = 0;
    snprintf(name, sizeof(name), "task/%d/children", p->pid);
    char *text = read_of(p, name, &size);
    free(text);
    return !text || size > 0;
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

bool process_is_mediated(char *why, size_t why_size)
{
    size_t size;
    char *enabled = read_file("/sys/module/apparmor/parameters/enabled", &size);
    bool apparmor = enabled && enabled[0] == 'Y' && is_there("/sys/kernel/security/apparmor/features/dbus");
    free(enabled);
    if (apparmor)
        refuse(why, why_size, "AppArmor decides about messages, and would not be asked at first");
    else if (is_there("/sys/fs/selinux/enforce"))
        refuse(why, why_size, "SELinux decides about messages, and would not be asked at first");
    else
        return false;
    return true;
}

bool process_watched(const struct process *p, int epoll, uint32_t *events, size_t n)
{
    char name[64];
    size_t size;
    snprintf(name, sizeof(name), "fdinfo/%d", epoll);
    char *text = read_of(p, name, &size);
    bool found = false;
    /* tfd: 5 events: 19 data: ... */
    for (const char *at = text ? strstr(text, "tfd:") : NULL; at; at = strstr(at + 1, "tfd:")) {
        unsigned fd, bits;
        const char *number = at + strlen("tfd:");
        const char *mask = strstr(number, "events:");
        if (mask && read_number(&number, 10, &fd) && fd < n) {
            mask += strlen("events:");
            if (read_number(&mask, 16, &bits))
                events[fd] |= bits;
        }
        found = true;
    }
    free(text);
    return found;
}

size_t process_split(const char *texts, size_t size, const char **out, size_t max)
{
    size_t n = 0;
    for (const char *at = texts; at < texts + size; at += strlen(at) + 1) {
        if (n < max)
            out[n] = at;
        n++;
    }
    return n;
}
