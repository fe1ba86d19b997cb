/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_FUZZ_FILES_H
#define OMNIBUS_FUZZ_FILES_H

/*
 * A tree of files, so small that inputs meet the same ones again: the service directories, as inotify, statfs
 * and readlink see them. The names are few, links may lead anywhere, and below a folder of a network file
 * system all changes are made by others.
 */

#include "fuzz_world.h"

#include <limits.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define FILES 24
#define FILES_NAMES 7
#define FILES_LINKS 40 /* in one path */
#define FILES_LOCAL 0xef53
#define FILES_REMOTE 0x6969 /* NFS */

static const char *const file_names[FILES_NAMES] = {
    "s", "t", "x", "a.b.service", "i.f.service", "c.d.service", "of-many-letters.service"};

enum file_kind { FILE_NONE, FILE_PLAIN, FILE_FOLDER, FILE_LINK };

struct file {
    enum file_kind kind;
    int number; /* no other file of this input has had it */
    bool unreadable, remote;
    const char *target; /* FILE_LINK */
    struct file *parent;
    struct file *entries[FILES_NAMES]; /* FILE_FOLDER */
};

static struct file files[FILES]; /* the first is the root */
static int files_numbered;

/* NULL: there is no room. */
static inline struct file *file_new(enum file_kind kind, struct file *parent)
{
    for (struct file *file = files; file < files + FILES; file++) {
        if (file->kind != FILE_NONE)
            continue;
        *file = (struct file){
            .kind = kind, .number = ++files_numbered, .parent = parent, .remote = parent && parent->remote};
        return file;
    }
    return NULL;
}

/* /s with a service, and /t, which is a link to it. */
static inline void files_begin(void)
{
    for (struct file *file = files; file < files + FILES; file++)
        file->kind = FILE_NONE;
    files_numbered = 0;
    struct file *root = file_new(FILE_FOLDER, NULL);
    root->entries[0] = file_new(FILE_FOLDER, root);
    root->entries[0]->entries[3] = file_new(FILE_PLAIN, root->entries[0]);
    root->entries[1] = file_new(FILE_LINK, root);
    root->entries[1]->target = "/s";
}

static inline bool file_is_empty(const struct file *file)
{
    for (int i = 0; i < FILES_NAMES; i++) {
        if (file->entries[i])
            return false;
    }
    return true;
}

/* NULL: there is no such entry. */
static inline struct file *file_entry(struct file *folder, const char *name, size_t n)
{
    if (n == 1 && name[0] == '.')
        return folder;
    if (n == 2 && name[0] == '.' && name[1] == '.')
        return folder->parent ? folder->parent : folder;
    for (int i = 0; i < FILES_NAMES; i++) {
        if (strlen(file_names[i]) == n && memcmp(file_names[i], name, n) == 0)
            return folder->entries[i];
    }
    return NULL;
}

/* From a folder on; through: also the last component is followed. NULL, with errno set: there is none. */
static inline struct file *file_walk(struct file *at, const char *path, bool through, int *links)
{
    if (*path == '/')
        at = files;
    for (;;) {
        path += strspn(path, "/");
        size_t n = strcspn(path, "/");
        if (n == 0)
            return at;
        errno = at->kind != FILE_FOLDER ? ENOTDIR : n > NAME_MAX ? ENAMETOOLONG : ENOENT;
        struct file *next = errno == ENOENT ? file_entry(at, path, n) : NULL;
        path += n;
        if (next && next->kind == FILE_LINK && (through || *path)) {
            errno = ELOOP;
            next = ++*links > FILES_LINKS ? NULL : file_walk(at, next->target, true, links);
        }
        if (!next)
            return NULL;
        at = next;
    }
}

static inline struct file *file_at(const char *path, bool through)
{
    int links = 0;
    errno = *path == '/' ? ENAMETOOLONG : ENOENT;
    return *path == '/' && strlen(path) < PATH_MAX ? file_walk(files, path, through, &links) : NULL;
}

ssize_t __real_readlink(const char *path, char *target, size_t size);
int __real_statfs(const char *path, struct statfs *found);

ssize_t __wrap_readlink(const char *path, char *target, size_t size)
{
    if (!world.running)
        return __real_readlink(path, target, size);
    const struct file *file = world_fails(WORLD_LINK) ? NULL : file_at(path, false);
    if (!file)
        return -1;
    errno = EINVAL;
    if (file->kind != FILE_LINK)
        return -1;
    size_t n = strlen(file->target);
    n = n < size ? n : size;
    memcpy(target, file->target, n);
    return (ssize_t)n;
}

int __wrap_statfs(const char *path, struct statfs *found)
{
    if (!world.running)
        return __real_statfs(path, found);
    const struct file *file = world_fails(WORLD_SYSTEM) ? NULL : file_at(path, true);
    if (!file)
        return -1;
    *found = (struct statfs){.f_type = file->remote ? FILES_REMOTE : FILES_LOCAL};
    return 0;
}

#endif
