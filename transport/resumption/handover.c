/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* environ */
#endif
#include "resumption/handover.h"

#include "mediation/audit_right.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Those of daemon/upgrade/program.py, which come first. */
#define MODULE "omnibus.daemon.main"
#define RESUME "--resume-fd="
#define PREVIOUS "--previous="
#define LIBRARY "--library="
#define CRASHED "--crashed"
#define RESTARTED "--restarted"
#define PRELOAD "LD_PRELOAD="
#define LINE_MAX_SIZE (2u << 20) /* the kernel's limit of all arguments is of this order */

static char returned[] = "--returned";

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* The command line of this process, followed by a NUL. NULL with errno. */
static char *read_line(size_t *size)
{
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    char *line = NULL;
    size_t room = 0;
    ssize_t n = fd < 0 ? -1 : 1;
    for (*size = 0; n > 0; *size += (size_t)n) {
        if (*size + 1 >= room) {
            room = room == 0 ? 4096 : 2 * room;
            char *grown = room > LINE_MAX_SIZE ? NULL : realloc(line, room);
            n = grown ? n : -1;
            if (!grown) {
                errno = E2BIG;
                break;
            }
            line = grown;
        }
        n = read(fd, line + *size, room - *size - 1);
        if (n < 0)
            break;
    }
    if (fd >= 0)
        close(fd);
    if (n < 0) {
        free(line);
        return NULL;
    }
    line[*size] = '\0';
    return line;
}

/* A decimal number of a descriptor; -1: it is none. */
static int descriptor_number(const char *text)
{
    size_t n = strspn(text, "0123456789");
    return n > 0 && n < 10 && text[n] == '\0' ? (int)strtol(text, NULL, 10) : -1;
}

static char *next_argument(char *at)
{
    return at + strlen(at) + 1;
}

/* The first argument behind the module, if that is --resume-fd=; otherwise NULL. */
static char *find_resume(char *line, const char *end)
{
    for (char *at = line; at < end; at = next_argument(at)) {
        if (strcmp(at, MODULE) == 0) {
            at = next_argument(at);
            return at < end && begins(at, RESUME) ? at : NULL;
        }
    }
    return NULL;
}

/* Reads the options in front, and makes the command of the way back: without them. */
static int read_options(struct handover *h, char *at, char *end)
{
    h->state = descriptor_number(at + strlen(RESUME));
    for (; at < end; at = next_argument(at)) {
        if (begins(at, PREVIOUS)) {
            h->previous = at + strlen(PREVIOUS);
        } else if (begins(at, LIBRARY)) {
            h->library_option = at;
            h->library = at + strlen(LIBRARY);
        } else if (strcmp(at, CRASHED) == 0) {
            h->crashed = true;
        } else if (!begins(at, RESUME) && strcmp(at, returned) != 0 && strcmp(at, RESTARTED) != 0) {
            break;
        }
    }
    h->rest = at;
    h->end = end;
    if (!h->previous)
        return 0;
    size_t n = 0, used = 0;
    for (const char *one = at; one < end; one += strlen(one) + 1)
        n++;
    h->command = calloc(n + 4, sizeof(*h->command));
    if (!h->command)
        return -ENOMEM;
    snprintf(h->resume, sizeof(h->resume), RESUME "%d", h->state);
    h->command[used++] = h->previous;
    h->command[used++] = h->resume;
    h->command[used++] = returned;
    for (; at < end; at = next_argument(at))
        h->command[used++] = at;
    return 0;
}

int handover_read(struct handover *h)
{
    size_t size;
    *h = (struct handover){.state = -1};
    h->line = read_line(&size);
    if (!h->line)
        return -errno;
    char *resume = find_resume(h->line, h->line + size);
    int error = resume ? read_options(h, resume, h->line + size) : -ENOENT;
    if (error < 0)
        handover_free(h);
    return error;
}

bool handover_unload(const struct handover *h)
{
    char **entry = environ;
    while (entry && *entry && !begins(*entry, PRELOAD))
        entry++;
    if (!entry || !*entry || !h->library)
        return false;
    char *value = *entry + strlen(PRELOAD);
    size_t n = strlen(h->library);
    if (strncmp(value, h->library, n) != 0 || (value[n] != ':' && value[n] != '\0'))
        return false;
    /* In place, because /proc/self/environ shows this memory. */
    size_t all = strlen(value), left = value[n] == ':' ? all - n - 1 : 0;
    memmove(value, value + all - left, left);
    memset(value + left, 0, all - left);
    if (left > 0)
        return true;
    memset(*entry, 0, strlen(PRELOAD));
    for (; *entry; entry++)
        entry[0] = entry[1];
    return true;
}

static bool handover_add(struct handover *h, int fd)
{
    if (h->n_fds == h->room) {
        uint32_t room = h->room == 0 ? 64 : 2 * h->room;
        int *grown = realloc(h->fds, room * sizeof(*grown));
        if (!grown)
            return false;
        h->fds = grown;
        h->room = room;
    }
    h->fds[h->n_fds++] = fd;
    return true;
}

/* The descriptors that execve(2) has left open. */
static int note_descriptors(struct handover *h)
{
    DIR *directory = opendir("/proc/self/fd");
    int error = directory ? 0 : -errno;
    while (error == 0) {
        const struct dirent *entry = readdir(directory);
        int fd = entry ? descriptor_number(entry->d_name) : -1;
        if (!entry)
            break;
        if (fd > STDERR_FILENO && fd != dirfd(directory) && fcntl(fd, F_GETFD) == 0 && !handover_add(h, fd))
            error = -ENOMEM;
    }
    if (directory)
        closedir(directory);
    return error;
}

/* The array is copied: Python sets variables. */
static int note_environment(struct handover *h)
{
    size_t n = 0;
    while (environ && environ[n])
        n++;
    h->environment = calloc(n + 1, sizeof(*h->environment));
    if (!h->environment)
        return -ENOMEM;
    if (n > 0)
        memcpy(h->environment, environ, n * sizeof(*environ));
    return 0;
}

int handover_note(struct handover *h)
{
    pthread_sigmask(SIG_SETMASK, NULL, &h->mask);
    int error = note_environment(h);
    return error < 0 ? error : note_descriptors(h);
}

int handover_replace(struct handover *h, int state, const int *fds, uint32_t n_fds)
{
    snprintf(h->resume, sizeof(h->resume), RESUME "%d", state);
    h->state = state;
    for (uint32_t i = 0; i < n_fds; i++) {
        if (!handover_add(h, fds[i]))
            return -ENOMEM;
    }
    return handover_add(h, state) ? 0 : -ENOMEM;
}

int handover_execute(const struct handover *h)
{
    alarm(0);
    for (uint32_t i = 0; i < h->n_fds; i++)
        fcntl(h->fds[i], F_SETFD, 0); /* some are closed by now */
    pthread_sigmask(SIG_SETMASK, &h->mask, NULL);
    audit_right_pass();
    execve(h->previous, h->command, h->environment);
    return -errno;
}

void handover_free(struct handover *h)
{
    free(h->line);
    free(h->command);
    free(h->fds);
    free(h->environment);
    *h = (struct handover){.state = -1};
}
