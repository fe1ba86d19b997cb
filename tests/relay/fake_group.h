/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TEST_FAKE_GROUP_H
#define OMNIBUS_TEST_FAKE_GROUP_H

/*
 * A fake unix_multicast(7): it keeps track of the members and writes to them, and fails where a
 * test wants it to. No message goes directly; tests/guest has the real one.
 */

#include "../../transport/multicast/group/group_peer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAKE_MEMBERS 8
#define FAKE_PENDING 16
#define FAKE_NAMES 16
#define FAKE_REQUESTS 64 /* _IOC_NR of the calls is below */

struct fake_name {
    char text[UMC_MAX_NAME + 1]; /* empty: a free place */
    uint32_t index;
};

struct fake_member {
    int accepted;      /* 0: no such member */
    bool classed;      /* its class is in force */
    uint32_t class_id; /* then */
    bool dead, held;
    bool egress, ingress;
    bool quiet;                       /* without an ingress filter it wants nothing */
    uint32_t replaced, replaced_held; /* ingress filters while in use, and while the member was held */
};

static struct fake_group {
    pthread_mutex_t mutex;
    int fd;
    struct fake_member members[FAKE_MEMBERS];
    uint32_t calls[FAKE_REQUESTS];
    unsigned long failing; /* the request that fails; 0: none */
    int error;             /* its errno; 0: it succeeds, but the entries of UMC_WRITE have entry_error */
    int entry_error;
    uint32_t after, times;      /* the number of calls that succeed first, and that fail then */
    uint32_t emptied;           /* filters, one by one */
    uint32_t filters_at_forget; /* the number of UMC_SET_FILTER before the last UMC_FORGET */
    bool named;                 /* it knows names and classes */
    bool shared;                /* there is a filter for all members */
    bool rest;                  /* and one of what the others want */
    struct fake_name names[FAKE_NAMES];
    uint64_t accepts[UMC_MAX_CLASSES][UMC_TOPICS];
    int direct;        /* result of a release: 1 if the member has sent directly */
    uint32_t releases; /* that succeeded */
    bool gated;
    bool closed; /* by the data plane, as far as the calls show */
    int watched; /* what becomes readable to stop the group; -1: nothing */
    struct umc_pending pending[FAKE_PENDING];
    uint32_t n_pending;
    struct umc_pending arriving; /* recorded when a write is refused for its delivery; key 0: none */
    uint8_t spill[512];
    size_t spill_size;
    bool stopped;   /* until UMC_REVOKE */
    bool stoppable; /* its descriptor is a socket, on which a byte out of band is the event of a stop */
} fake_group = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static inline bool fake_fails(unsigned long request)
{
    if (request != fake_group.failing || fake_group.times == 0)
        return false;
    if (fake_group.after > 0) {
        fake_group.after--;
        return false;
    }
    fake_group.times--;
    return true;
}

static inline int fake_error(int error)
{
    errno = error;
    return -1;
}

static inline struct fake_member *fake_member(uint32_t index)
{
    struct fake_member *member = index < FAKE_MEMBERS ? &fake_group.members[index] : NULL;
    return member && member->accepted && !member->dead ? member : NULL;
}

static inline int fake_add(const struct umc_add *add)
{
    if (add->index >= FAKE_MEMBERS || fake_group.members[add->index].accepted)
        return fake_error(EEXIST);
    fake_group.members[add->index] =
        (struct fake_member){.accepted = add->accepted_fd, .quiet = add->flags & UMC_ADD_QUIET};
    return 0;
}

static inline int fake_filter(const struct umc_filter *filter)
{
    struct fake_member *member = fake_member(filter->index);
    if (filter->which == UMC_FILTER_SHARED) {
        fake_group.shared = fake_group.named && filter->count > 0;
        return fake_group.named ? 0 : fake_error(EINVAL);
    }
    fake_group.emptied += filter->count == 0;
    if (filter->which == UMC_FILTER_REST)
        fake_group.rest = filter->count > 0;
    if (filter->which >= UMC_FILTER_REST)
        return 0;
    if (!member)
        return fake_error(ENOENT);
    if (filter->which == UMC_FILTER_INGRESS && filter->count > 0 && member->ingress) {
        member->replaced++;
        member->replaced_held += member->held;
    }
    *(filter->which == UMC_FILTER_EGRESS ? &member->egress : &member->ingress) = filter->count > 0;
    member->quiet &= filter->which != UMC_FILTER_INGRESS;
    return 0;
}

static inline struct fake_name *fake_name(const char *text)
{
    for (uint32_t i = 0; i < FAKE_NAMES; i++) {
        if (strcmp(fake_group.names[i].text, text) == 0)
            return &fake_group.names[i];
    }
    return NULL;
}

static inline int fake_set_name(const struct umc_name *name)
{
    char text[UMC_MAX_NAME + 1] = "";
    memcpy(text, (const void *)(uintptr_t)name->bytes, name->length);
    struct fake_name *at = fake_name(text);
    if (at)
        at->text[0] = '\0';
    if (name->index == UMC_ANY)
        return 0;
    if (!fake_member(name->index))
        return fake_error(ENOENT);
    at = fake_name("");
    if (!at)
        return fake_error(ENOSPC);
    at->index = name->index;
    memcpy(at->text, text, sizeof(text));
    return 0;
}

static inline int fake_set_class(const struct umc_class *class)
{
    struct fake_member *member = fake_member(class->index);
    if (!member)
        return fake_error(ENOENT);
    member->classed = class->class != UMC_ANY;
    member->class_id = class->class;
    return 0;
}

/* A call about names or classes, of which an older kernel knows nothing. */
static inline int fake_naming(unsigned long request, const void *argument)
{
    const struct umc_accept *accept = argument;
    if (!fake_group.named)
        return fake_error(ENOTTY);
    if (request == UMC_SET_NAME)
        return fake_set_name(argument);
    if (request == UMC_SET_CLASS)
        return fake_set_class(argument);
    memcpy(fake_group.accepts[accept->class], accept->from, sizeof(accept->from));
    return 0;
}

static inline void fake_remove(uint32_t index)
{
    fake_group.members[index].dead = true;
    for (uint32_t i = 0; i < FAKE_NAMES; i++) {
        if (fake_group.names[i].index == index)
            fake_group.names[i].text[0] = '\0';
    }
}

static inline int64_t fake_write_entry(struct umc_write_entry *entry, bool fails)
{
    struct fake_member *member = fake_member(entry->index);
    if (!member)
        return -ENOENT;
    member->held = true;
    if (fails && fake_group.arriving.key) {
        fake_group.pending[fake_group.n_pending++] = fake_group.arriving;
        fake_group.arriving.key = 0;
    }
    if (fails)
        return -fake_group.entry_error;
    struct msghdr header = {.msg_iov = (struct iovec *)(uintptr_t)entry->iov,
                            .msg_iovlen = entry->iov_count,
                            .msg_control = (void *)(uintptr_t)entry->control,
                            .msg_controllen = entry->control_length};
    ssize_t n = entry->iov_count ? sendmsg(member->accepted, &header, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    if (n < 0)
        return -errno;
    member->held = entry->flags & UMC_WRITE_HOLD;
    return n;
}

static inline void fake_release(const struct umc_write *write)
{
    struct umc_release_entry *entries = (struct umc_release_entry *)(uintptr_t)write->releases;
    for (uint32_t i = 0; i < write->release_count; i++) {
        bool known = fake_member(entries[i].index);
        entries[i].result = known ? fake_group.direct : -ENOENT;
        fake_group.releases += known;
    }
}

static inline int fake_write(const struct umc_write *write)
{
    fake_release(write);
    struct umc_write_entry *entries = (struct umc_write_entry *)(uintptr_t)write->entries;
    bool stopped[FAKE_MEMBERS] = {false};
    for (uint32_t i = 0; i < write->count; i++) {
        struct umc_write_entry *entry = &entries[i];
        bool known = entry->index < FAKE_MEMBERS;
        bool fails = fake_group.entry_error && fake_fails(UMC_WRITE);
        entry->result = known && stopped[entry->index] ? -EAGAIN : fake_write_entry(entry, fails);
        if (known && entry->result < 0)
            stopped[entry->index] = true;
    }
    return 0;
}

static inline int fake_pending_add(const struct umc_pending *pending)
{
    for (uint32_t i = 0; i < fake_group.n_pending; i++) {
        const struct umc_pending *at = &fake_group.pending[i];
        if (at->caller == pending->caller && at->callee == pending->callee && at->key == pending->key)
            return fake_error(EEXIST);
    }
    if (fake_group.n_pending == FAKE_PENDING)
        return fake_error(EDQUOT);
    fake_group.pending[fake_group.n_pending++] = *pending;
    return 0;
}

static inline int fake_pending_take(struct umc_pending *wanted)
{
    for (uint32_t i = 0; i < fake_group.n_pending; i++) {
        const struct umc_pending *at = &fake_group.pending[i];
        if (at->caller != wanted->caller || at->callee != wanted->callee || at->key != wanted->key)
            continue;
        fake_group.pending[i] = fake_group.pending[--fake_group.n_pending];
        wanted->age_ms = 0;
        return 0;
    }
    return fake_error(ENOENT);
}

static inline int fake_pending_list(struct umc_pending_list *list)
{
    struct umc_pending *out = (struct umc_pending *)(uintptr_t)list->entries;
    uint32_t n = 0;
    for (uint32_t i = 0; i < fake_group.n_pending; i++) {
        const struct umc_pending *at = &fake_group.pending[i];
        if ((list->callee != UMC_ANY && list->callee != at->callee) ||
            (list->caller != UMC_ANY && list->caller != at->caller))
            continue;
        if (n < list->count)
            out[n] = *at;
        n++;
    }
    list->count = n;
    return 0;
}

static inline bool fake_is_readable(int fd, short events)
{
    struct pollfd polled = {.fd = fd, .events = events};
    return poll(&polled, 1, 0) > 0 && polled.revents & events;
}

/* The group goes on if what it watches is read. */
static inline int fake_answer(void)
{
    char byte;
    if (fake_is_readable(fake_group.watched, POLLIN))
        return 1;
    fake_group.stopped = false;
    if (fake_group.stoppable)
        recv(fake_group.fd, &byte, 1, MSG_OOB | MSG_DONTWAIT);
    return 0;
}

static inline int fake_call(unsigned long request, void *argument)
{
    const struct umc_index *index = argument;
    switch (request) {
    case UMC_ADD:
        return fake_add(argument);
    case UMC_REMOVE:
        fake_remove(index->index);
        return 0;
    case UMC_FORGET:
        fake_group.members[index->index] = (struct fake_member){0};
        fake_group.filters_at_forget = fake_group.calls[_IOC_NR(UMC_SET_FILTER) % FAKE_REQUESTS];
        return 0;
    case UMC_SET_FILTER:
        return fake_filter(argument);
    case UMC_WRITE:
        return fake_write(argument);
    case UMC_WATCH:
        fake_group.watched = ((struct umc_watch *)argument)->fd;
        return 0;
    case UMC_REVOKE:
        for (uint32_t i = 0; i < FAKE_MEMBERS; i++)
            fake_group.members[i].egress = fake_group.members[i].ingress = fake_group.members[i].classed =
                false;
        fake_group.rest = false;
        memset(fake_group.accepts, 0, sizeof(fake_group.accepts));
        return fake_answer();
    case UMC_GATE:
        fake_group.gated = ((struct umc_gate *)argument)->closed;
        return 0;
    case UMC_PENDING_ADD:
        return fake_pending_add(argument);
    case UMC_PENDING_TAKE:
        return fake_pending_take(argument);
    case UMC_PENDING_LIST:
        return fake_pending_list(argument);
    case UMC_SET_NAME:
    case UMC_SET_CLASS:
    case UMC_SET_ACCEPT:
        return fake_naming(request, argument);
    case UMC_SET_MARK:
    case UMC_SET_SHAPE:
    case UMC_SET_STAMP:
        return 0;
    case UMC_GET_STATS: /* nothing went directly */
        return 0;
    default:
        return fake_error(ENOTTY);
    }
}

static int fake_ioctl(int fd, unsigned long request, void *argument)
{
    pthread_mutex_lock(&fake_group.mutex);
    int result;
    fake_group.calls[_IOC_NR(request) % FAKE_REQUESTS]++;
    if (fd != fake_group.fd)
        result = fake_error(EBADF);
    else if (!fake_group.entry_error && fake_fails(request))
        result = fake_error(fake_group.error);
    else
        result = fake_call(request, argument);
    pthread_mutex_unlock(&fake_group.mutex);
    return result;
}

static ssize_t fake_read(int fd, void *bytes, size_t size)
{
    uint64_t count;
    if (fake_group.stoppable)
        return fake_error(EAGAIN); /* to read the socket would end its event */
    pthread_mutex_lock(&fake_group.mutex);
    ssize_t n = read(fd, &count, sizeof(count)) < 0 ? -1 : (ssize_t)fake_group.spill_size;
    if (n > 0 && (size_t)n <= size)
        memcpy(bytes, fake_group.spill, (size_t)n);
    fake_group.spill_size = 0;
    pthread_mutex_unlock(&fake_group.mutex);
    return n;
}

static struct umc_kernel fake_kernel = {fake_ioctl, fake_read};

/* Directs the relay's calls to a new group without members. */
static inline void fake_begin(void)
{
    pthread_mutex_lock(&fake_group.mutex);
    memset(fake_group.members, 0, sizeof(fake_group.members));
    memset(fake_group.calls, 0, sizeof(fake_group.calls));
    fake_group.failing = 0;
    fake_group.error = fake_group.entry_error = 0;
    fake_group.after = 0;
    fake_group.times = 1;
    fake_group.gated = fake_group.named = fake_group.shared = fake_group.rest = false;
    memset(fake_group.names, 0, sizeof(fake_group.names));
    memset(fake_group.accepts, 0, sizeof(fake_group.accepts));
    fake_group.emptied = 0;
    fake_group.direct = 0;
    fake_group.watched = -1;
    fake_group.stopped = fake_group.stoppable = false;
    fake_group.n_pending = 0;
    fake_group.arriving.key = 0;
    fake_group.spill_size = 0;
    fake_group.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_unlock(&fake_group.mutex);
    umc_kernel = fake_kernel;
}

static inline void fake_fail(unsigned long request, int error, uint32_t after, uint32_t times)
{
    pthread_mutex_lock(&fake_group.mutex);
    fake_group.failing = request;
    fake_group.error = error;
    fake_group.after = after;
    fake_group.times = times;
    pthread_mutex_unlock(&fake_group.mutex);
}

static inline struct fake_member fake_look(uint32_t index)
{
    pthread_mutex_lock(&fake_group.mutex);
    struct fake_member member = fake_group.members[index];
    pthread_mutex_unlock(&fake_group.mutex);
    return member;
}

/* The member with a name; UMC_ANY: none has it. */
static inline uint32_t fake_owner(const char *text)
{
    pthread_mutex_lock(&fake_group.mutex);
    const struct fake_name *name = fake_name(text);
    uint32_t index = name ? name->index : UMC_ANY;
    pthread_mutex_unlock(&fake_group.mutex);
    return index;
}

static inline uint32_t fake_calls(unsigned long request)
{
    pthread_mutex_lock(&fake_group.mutex);
    uint32_t n = fake_group.calls[_IOC_NR(request) % FAKE_REQUESTS];
    pthread_mutex_unlock(&fake_group.mutex);
    return n;
}

static inline uint32_t fake_releases(void)
{
    pthread_mutex_lock(&fake_group.mutex);
    uint32_t n = fake_group.releases;
    pthread_mutex_unlock(&fake_group.mutex);
    return n;
}

#endif
