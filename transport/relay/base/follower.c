/* SPDX-License-Identifier: MIT */
#include "base/follower.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define FOLLOWER_WATCHES 4096u
#define FOLLOWER_LINKS 40u /* symbolic links in one path, as in the kernel */
#define FOLLOWER_READS 16u /* of the kernel's queue for one question; more events count as a change */

#define IN_ITSELF (IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)
#define IN_COMPONENT (IN_ITSELF | IN_CREATE | IN_DELETE | IN_MOVE | IN_ONLYDIR)
#define IN_WHOLE (IN_ITSELF | IN_CREATE | IN_DELETE | IN_MOVE | IN_MODIFY | IN_CLOSE_WRITE)

struct follower_watch {
    int wd;
    char *name; /* the component that matters in a directory; NULL: all */
};

struct follower {
    int fd;
    bool changed;
    uint32_t n, capacity;
    struct follower_watch *watches;
};

struct follower *follower_new(void)
{
    struct follower *f = calloc(1, sizeof(*f));
    if (f && (f->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) < 0) {
        free(f);
        return NULL;
    }
    return f;
}

void follower_free(struct follower *f)
{
    if (!f)
        return;
    close(f->fd);
    for (uint32_t i = 0; i < f->n; i++)
        free(f->watches[i].name);
    free(f->watches);
    free(f);
}

static bool is_known(const struct follower *f, int wd, const char *name)
{
    for (uint32_t i = 0; i < f->n; i++) {
        const struct follower_watch *w = &f->watches[i];
        if (w->wd == wd && (!w->name || (name && !strcmp(w->name, name))))
            return true;
    }
    return false;
}

static bool keep_watch(struct follower *f, int wd, const char *name)
{
    if (is_known(f, wd, name))
        return true;
    if (f->n == FOLLOWER_WATCHES)
        return false;
    if (f->n == f->capacity) {
        uint32_t capacity = f->capacity ? 2 * f->capacity : 32;
        struct follower_watch *grown = realloc(f->watches, capacity * sizeof(*grown));
        if (!grown)
            return false;
        f->watches = grown;
        f->capacity = capacity;
    }
    struct follower_watch *w = &f->watches[f->n];
    *w = (struct follower_watch){wd, name ? strdup(name) : NULL};
    if (name && !w->name)
        return false;
    f->n++;
    return true;
}

/* True if other machines, or a process, may change its files without a word to this kernel. */
static bool is_remote(const char *path)
{
    static const uint32_t remote[] = {0x6969 /* NFS */,
                                      0x517b /* SMB */,
                                      0xff534d42 /* CIFS */,
                                      0xfe534d42 /* SMB2 */,
                                      0x65735546 /* FUSE */,
                                      0x01021997 /* 9P */,
                                      0x5346414f /* AFS */,
                                      0x00c36400 /* Ceph */,
                                      0x73757245 /* Coda */,
                                      0x01161970 /* GFS2 */,
                                      0x7461636f /* OCFS2 */};
    struct statfs found;
    if (statfs(path, &found) < 0)
        return true;
    for (size_t i = 0; i < sizeof(remote) / sizeof(*remote); i++) {
        if ((uint32_t)found.f_type == remote[i])
            return true;
    }
    return false;
}

/* 0 or a negative errno. */
static int follow_one(struct follower *f, const char *path, const char *name)
{
    int wd = inotify_add_watch(f->fd, path, (name ? IN_COMPONENT : IN_WHOLE) | IN_MASK_ADD);
    if (wd < 0)
        return -errno;
    if (is_remote(path))
        return -EREMOTE;
    return keep_watch(f, wd, name) ? 0 : -ENOMEM;
}

/* A path on its way: at is what was resolved, without symbolic links; rest is what remains. */
struct way {
    char at[PATH_MAX], rest[2 * PATH_MAX];
    unsigned links;
};

/* Cuts the next component off the rest. NULL: there is none. */
static char *next_component(struct way *way, char **rest)
{
    char *begin = way->rest + strspn(way->rest, "/");
    if (!*begin)
        return NULL;
    char *end = begin + strcspn(begin, "/");
    *rest = *end ? end + 1 : end;
    *end = '\0';
    return begin;
}

/* Puts the target of the link at way->at in front of the rest. 0 or a negative errno. */
static int follow_link(struct way *way, size_t parent, const char *rest)
{
    char target[2 * PATH_MAX];
    ssize_t n = readlink(way->at, target, PATH_MAX);
    if (n < 0)
        return -errno;
    size_t left = strlen(rest);
    if (n == PATH_MAX || ++way->links > FOLLOWER_LINKS || (size_t)n + left + 2 > sizeof(target))
        return -ELOOP;
    target[n] = '/';
    memcpy(target + n + 1, rest, left + 1);
    memcpy(way->rest, target, (size_t)n + left + 2);
    way->at[target[0] == '/' ? 0 : parent] = '\0';
    return 0;
}

/* Goes one component on. 1: there is another; 0: the path ends, or a component is awaited. */
static int follower_step(struct follower *f, struct way *way)
{
    char *rest, *name = next_component(way, &rest);
    size_t parent = strlen(way->at);
    if (!name)
        return follow_one(f, parent ? way->at : "/", NULL);
    if (!strcmp(name, "..")) {
        char *last = strrchr(way->at, '/');
        if (last)
            *last = '\0';
    } else if (strcmp(name, ".") != 0) {
        size_t size = strlen(name);
        int error = follow_one(f, parent ? way->at : "/", name);
        if (error < 0)
            return error;
        if (parent + size + 2 > sizeof(way->at))
            return -ENAMETOOLONG;
        way->at[parent] = '/';
        memcpy(way->at + parent + 1, name, size + 1);
        error = follow_link(way, parent, rest);
        if (error == 0)
            return 1;
        if (error != -EINVAL)
            return error;
    }
    memmove(way->rest, rest, strlen(rest) + 1);
    return 1;
}

void follower_add(struct follower *f, const char *path)
{
    struct way way = {.links = 0};
    size_t size = strlen(path);
    int more = path[0] == '/' && size < PATH_MAX ? 1 : -EINVAL;
    if (more > 0)
        memcpy(way.rest, path, size + 1);
    while (more > 0)
        more = follower_step(f, &way);
    if (more < 0 && more != -ENOENT && more != -ENOTDIR)
        f->changed = true;
}

static bool follower_cares(const struct follower *f, const struct inotify_event *event)
{
    if (event->mask & IN_Q_OVERFLOW || event->len == 0)
        return true;
    return is_known(f, event->wd, event->name);
}

bool follower_changed(struct follower *f)
{
    char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t n = 0;
    for (unsigned i = 0; i < FOLLOWER_READS && !f->changed; i++) {
        n = read(f->fd, events, sizeof(events));
        if (n < 0)
            break;
        for (char *at = events; at < events + n && !f->changed;) {
            const struct inotify_event *event = (const struct inotify_event *)(void *)at;
            f->changed = follower_cares(f, event);
            at += sizeof(*event) + event->len;
        }
    }
    if (n >= 0 || errno != EAGAIN)
        f->changed = true;
    return f->changed;
}
