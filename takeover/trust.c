/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "trust.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRUST_MAX_LINKS 40 /* as in the kernel */

struct walk {
    char at[PATH_MAX];       /* what was checked; "" is the root */
    char rest[2 * PATH_MAX]; /* what follows */
    int n_links;
    uid_t owner;
    char *why;
    size_t why_size;
};

static bool refuse(struct walk *w, const char *what)
{
    snprintf(w->why, w->why_size, "%s: %s", w->at[0] ? w->at : "/", what);
    return false;
}

static bool check_mode(struct walk *w, const struct stat *found)
{
    if (found->st_uid != 0 && found->st_uid != w->owner)
        return refuse(w, "belongs neither to root nor to the user of the bus");
    if (S_ISLNK(found->st_mode) || (S_ISDIR(found->st_mode) && found->st_mode & S_ISVTX))
        return true;
    if (found->st_mode & S_IWOTH || (found->st_mode & S_IWGRP && found->st_gid != 0))
        return refuse(w, "others than root and the user of the bus can write to it");
    return true;
}

/* Takes the next part of the path. False: there is none. */
static bool next_part(struct walk *w, char part[NAME_MAX + 1])
{
    char *at = w->rest + strspn(w->rest, "/");
    size_t n = strcspn(at, "/");
    if (n == 0 || n > NAME_MAX)
        return false;
    memcpy(part, at, n);
    part[n] = '\0';
    memmove(w->rest, at + n, strlen(at + n) + 1);
    return true;
}

static bool follow_link(struct walk *w, char *cut)
{
    char target[PATH_MAX], rest[2 * PATH_MAX];
    ssize_t n = readlink(w->at, target, sizeof(target) - 1);
    if (n < 0)
        return refuse(w, strerror(errno));
    target[n] = '\0';
    if (++w->n_links > TRUST_MAX_LINKS || (size_t)n + strlen(w->rest) + 2 > sizeof(rest))
        return refuse(w, "too many links");
    int size = snprintf(rest, sizeof(rest), "%s/%s", target, w->rest);
    memcpy(w->rest, rest, (size_t)size + 1);
    *(target[0] == '/' ? w->at : cut) = '\0';
    return true;
}

static bool step(struct walk *w, const char *part, struct stat *found)
{
    size_t n = strlen(w->at);
    char *cut = w->at + n;
    if (strcmp(part, ".") == 0)
        return true;
    if (strcmp(part, "..") == 0) {
        char *slash = strrchr(w->at, '/');
        if (slash)
            *slash = '\0';
        return true;
    }
    if (n + strlen(part) + 2 > sizeof(w->at))
        return refuse(w, "too long");
    sprintf(cut, "/%s", part);
    if (lstat(w->at, found) < 0)
        return refuse(w, strerror(errno));
    return check_mode(w, found) && (!S_ISLNK(found->st_mode) || follow_link(w, cut));
}

bool trust(const char *path, uid_t owner, bool program, char *why, size_t why_size)
{
    struct walk w = {.owner = owner, .why = why, .why_size = why_size};
    struct stat found;
    char part[NAME_MAX + 1];
    if (path[0] != '/' || strlen(path) >= PATH_MAX) {
        snprintf(why, why_size, "%s: not an absolute path", path);
        return false;
    }
    strcpy(w.rest, path);
    if (lstat("/", &found) < 0 || !check_mode(&w, &found))
        return false;
    while (next_part(&w, part)) {
        if (!step(&w, part, &found))
            return false;
    }
    if (w.rest[strspn(w.rest, "/")] != '\0' || !S_ISREG(found.st_mode) ||
        (program && !(found.st_mode & S_IXUSR)))
        return refuse(&w, "not a program");
    return true;
}
