/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_FUZZ_NOTIFY_H
#define OMNIBUS_FUZZ_NOTIFY_H

/*
 * inotify(7) for the files of fuzz_files.h, and what changes them. Events are queued and read as by the
 * kernel: whole, as many as fit, equal ones in a row once; a full queue ends with IN_Q_OVERFLOW.
 */

#include "fuzz_files.h"
#include "fuzz_things.h"

#include <sys/inotify.h>

#define NOTIFIERS 8
#define NOTIFIER_EVENTS 1600u /* the follower reads fewer, if their names are long */

struct notifier_event {
    int wd;
    uint32_t mask;
    const char *name; /* NULL: of the file itself */
};

struct notifier {
    bool used;
    uint32_t masks[FILES]; /* 0: not watched */
    uint32_t first, n;
    struct notifier_event events[NOTIFIER_EVENTS + 1];
};

static struct notifier notifiers[NOTIFIERS];

static inline void notifier_end(struct thing *thing)
{
    thing->notifier->used = false;
}

int __wrap_inotify_init1(int flags)
{
    ASSERT(flags == (IN_NONBLOCK | IN_CLOEXEC));
    if (world_fails(WORLD_NOTIFY))
        return -1;
    for (struct notifier *notifier = notifiers; notifier < notifiers + NOTIFIERS; notifier++) {
        if (notifier->used)
            continue;
        notifier->used = true;
        notifier->first = notifier->n = 0;
        memset(notifier->masks, 0, sizeof(notifier->masks));
        struct thing *thing = thing_new(THING_NOTIFIER);
        thing->notifier = notifier;
        thing->end = notifier_end;
        return descriptor_new(thing);
    }
    errno = EMFILE;
    return -1;
}

int __wrap_inotify_add_watch(int fd, const char *path, uint32_t mask)
{
    const struct thing *thing = thing_of(fd);
    ASSERT(thing && thing->kind == THING_NOTIFIER && mask & IN_MASK_ADD);
    const struct file *file = world_fails(WORLD_NOTIFY) ? NULL : file_at(path, true);
    if (!file)
        return -1;
    errno = mask & IN_ONLYDIR && file->kind != FILE_FOLDER ? ENOTDIR : EACCES;
    if (errno == ENOTDIR || file->unreadable)
        return -1;
    thing->notifier->masks[file - files] |= mask & IN_ALL_EVENTS;
    return file->number;
}

static inline void notifier_put(struct notifier *notifier, struct notifier_event event)
{
    const struct notifier_event *last = notifier->n ? &notifier->events[notifier->n - 1] : &event;
    if (notifier->n > NOTIFIER_EVENTS || (notifier->n > notifier->first && last->wd == event.wd &&
                                          last->mask == event.mask && last->name == event.name))
        return;
    if (notifier->n == NOTIFIER_EVENTS)
        event = (struct notifier_event){-1, IN_Q_OVERFLOW, NULL};
    notifier->events[notifier->n++] = event;
}

/* name: of an entry of the folder; NULL: of the file itself. */
static inline void notify(const struct file *file, uint32_t mask, const char *name)
{
    for (struct notifier *notifier = notifiers; notifier < notifiers + NOTIFIERS; notifier++) {
        uint32_t told = notifier->masks[file - files] & mask;
        if (notifier->used && !file->remote && told)
            notifier_put(notifier, (struct notifier_event){file->number, told, name});
    }
}

static inline size_t notifier_room(const char *name)
{
    const size_t step = sizeof(struct inotify_event);
    return name ? (strlen(name) + step) / step * step : 0;
}

static inline ssize_t notifier_read(struct notifier *notifier, uint8_t *bytes, size_t size)
{
    size_t at = 0;
    if (world_fails(WORLD_EVENTS))
        return -1;
    errno = notifier->first == notifier->n ? EAGAIN : EINVAL;
    for (; notifier->first < notifier->n; notifier->first++) {
        const struct notifier_event *event = &notifier->events[notifier->first];
        size_t room = notifier_room(event->name);
        if (size - at < sizeof(struct inotify_event) + room)
            break;
        const struct inotify_event head = {.wd = event->wd, .mask = event->mask, .len = (uint32_t)room};
        memcpy(bytes + at, &head, sizeof(head));
        at += sizeof(head);
        memset(bytes + at, 0, room);
        memcpy(bytes + at, event->name ? event->name : "", event->name ? strlen(event->name) : 0);
        at += room;
    }
    if (notifier->first == notifier->n)
        notifier->first = notifier->n = 0;
    return at ? (ssize_t)at : -1;
}

/* Its watches end with it. */
static inline void file_end(struct file *file)
{
    notify(file, IN_ATTRIB, NULL);
    notify(file, IN_DELETE_SELF, NULL);
    for (struct notifier *notifier = notifiers; notifier < notifiers + NOTIFIERS; notifier++) {
        if (notifier->used && notifier->masks[file - files])
            notifier_put(notifier, (struct notifier_event){file->number, IN_IGNORED, NULL});
        notifier->masks[file - files] = 0;
    }
    file->kind = FILE_NONE;
}

static inline void file_remove(struct file *folder, int name)
{
    struct file *file = folder->entries[name];
    if (!file || (file->kind == FILE_FOLDER && !file_is_empty(file)))
        return;
    folder->entries[name] = NULL;
    notify(folder, IN_DELETE, file_names[name]);
    file_end(file);
}

/* Nothing happens if the name is taken. */
static inline struct file *file_make(struct file *folder, int name, enum file_kind kind)
{
    struct file *file = folder->entries[name] ? NULL : file_new(kind, folder);
    if (!file)
        return NULL;
    folder->entries[name] = file;
    notify(folder, IN_CREATE, file_names[name]);
    return file;
}

/* Makes a service's file, or removes it. */
static inline void file_toggle(struct file *folder, int name)
{
    if (folder->kind != FILE_FOLDER)
        return;
    if (folder->entries[name])
        file_remove(folder, name);
    else
        file_make(folder, name, FILE_PLAIN);
}

/* As by rename(2): replaces a file, but no folder, and moves no folder into itself. */
static inline void file_move(struct file *folder, int name, struct file *to, int as)
{
    struct file *file = folder->entries[name], *old = to->entries[as];
    if (!file || file == old || file->remote != to->remote ||
        (old && (old->kind == FILE_FOLDER || file->kind == FILE_FOLDER)))
        return;
    for (const struct file *above = to; above; above = above->parent) {
        if (above == file)
            return;
    }
    folder->entries[name] = NULL;
    to->entries[as] = file;
    file->parent = to;
    notify(folder, IN_MOVED_FROM, file_names[name]);
    notify(to, IN_MOVED_TO, file_names[as]);
    notify(file, IN_MOVE_SELF, NULL);
    if (old)
        file_end(old);
}

/* Of the file and of the folder that it is in. */
static inline void file_alter(struct file *folder, int name, uint32_t mask)
{
    notify(folder, mask, file_names[name]);
    notify(folder->entries[name], mask, NULL);
}

#endif
