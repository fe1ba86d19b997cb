/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The variables of UpdateActivationEnvironment are only in the daemon's memory, and in the programs that it
 * starts. So it starts one: a service in its directory of transient services, which copies its environment
 * into a file. All files are made and read as the bus's user, in whose directories they are.
 */

#define NAME "org.omnibus.Takeover%d"
#define MAX_ENVIRONMENT (8u << 20)
#define ANSWER_TIME 10000

struct capture {
    char name[64], service[4096], output[4096];
};

/* The value of a variable of the daemon. NULL: it has none. */
static const char *variable(const struct process *p, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = p->environment; at < p->environment + p->environment_size; at += strlen(at) + 1) {
        if (strncmp(at, name, n) == 0 && at[n] == '=')
            return at + n + 1;
    }
    return NULL;
}

static bool become(uid_t uid, gid_t gid)
{
    if (uid == geteuid())
        return true;
    return uid == 0 ? seteuid(uid) == 0 && setegid(gid) == 0 : setegid(gid) == 0 && seteuid(uid) == 0;
}

/* False: the bus has no such directory, or its path can't stand in a service file. */
static bool capture_begin(const struct process *p, struct capture *c)
{
    const char *directory = variable(p, "XDG_RUNTIME_DIR");
    if (!directory || directory[0] != '/' || strlen(directory) > 200 ||
        strspn(directory, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") !=
            strlen(directory))
        return false;
    snprintf(c->name, sizeof(c->name), NAME, getpid());
    snprintf(c->service, sizeof(c->service), "%s/dbus-1/services/%s.service", directory, c->name);
    snprintf(c->output, sizeof(c->output), "%s/omnibus-takeover-%d", directory, getpid());
    return true;
}

static bool capture_write(const struct capture *c)
{
    int fd = open(c->service, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    /* It fails, since the daemon would wait for a name after a success. */
    bool good = dprintf(fd, "[D-BUS Service]\nName=%s\nExec=/bin/sh -c \"cp /proc/$$/environ %s; exit 1\"\n",
                        c->name, c->output) > 0;
    return close(fd) == 0 && good;
}

/* Everything in the file that the service has made. NULL: it is none. */
static char *capture_read(const struct capture *c, size_t *size)
{
    struct stat found;
    char *text = NULL;
    int fd = open(c->output, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &found) == 0 && S_ISREG(found.st_mode) && found.st_size > 0 &&
        found.st_size <= (off_t)MAX_ENVIRONMENT && (text = malloc((size_t)found.st_size + 1))) {
        ssize_t n = read(fd, text, (size_t)found.st_size);
        *size = n > 0 ? (size_t)n : 0;
        text[*size] = '\0';
    }
    close(fd);
    return text;
}

/* NULL: it does not come. */
static const struct message *answer_to(struct takeover *t, uint32_t serial)
{
    int64_t end = takeover_now() + ANSWER_TIME;
    const struct message *reply;
    while (!(reply = observer_reply(&t->observer, serial))) {
        int64_t left = end - takeover_now();
        if (left <= 0 || pump(t, (int)left) == PUMP_LOST)
            return NULL;
    }
    return reply;
}

/* The service takes no name, so the answer is an error, which comes when it has ended. */
static bool capture_start(struct takeover *t, const struct capture *c)
{
    const struct marshal_header header = {.type = MESSAGE_METHOD_CALL,
                                          .path = SPAN(BUS_PATH),
                                          .interface = SPAN(BUS_NAME),
                                          .member = SPAN("StartServiceByName"),
                                          .destination = SPAN(BUS_NAME)};
    return answer_to(t, observer_start(&t->observer, &header, span_of(c->name))) != NULL;
}

bool environment_may_change(struct takeover *t)
{
    const struct message *reply = answer_to(t, observer_update(&t->observer));
    return !reply || reply->type != MESSAGE_ERROR;
}

char *environment_of_services(struct takeover *t, size_t *size)
{
    const struct process *p = &t->process;
    struct capture c;
    uid_t uid = geteuid();
    gid_t gid = getegid();
    char *text = NULL;
    if (!capture_begin(p, &c) || !become(p->uid, p->gid))
        return NULL;
    bool written = capture_write(&c);
    if (become(uid, gid) && written)
        written = capture_start(t, &c);
    if (!become(p->uid, p->gid))
        return NULL;
    if (written)
        text = capture_read(&c, size);
    unlink(c.service);
    unlink(c.output);
    if (!become(uid, gid)) {
        free(text);
        return NULL;
    }
    return text;
}
