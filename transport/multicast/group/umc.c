/* SPDX-License-Identifier: MIT */
#include "group/umc.h"

#include "bpf/filter.h"
#include "wire/message.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int kernel_ioctl(int fd, unsigned long request, void *argument)
{
    return ioctl(fd, request, argument);
}

struct umc_kernel umc_kernel = {kernel_ioctl, read};

static uint64_t address(const void *pointer)
{
    return (uintptr_t)pointer;
}

/* An ioctl that is repeated if a signal interrupts it, since it has changed nothing then. */
static int call(int group, unsigned long request, void *argument)
{
    int result;
    do {
        result = umc_kernel.ioctl(group, request, argument);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

int umc_add(int group, int listener, int accepted, uint32_t index, uint32_t mark, bool quiet)
{
    struct umc_add add = {.listener_fd = listener,
                          .accepted_fd = accepted,
                          .index = index,
                          .mark = mark,
                          .flags = quiet ? UMC_ADD_QUIET : 0};
    return call(group, UMC_ADD, &add);
}

int umc_remove(int group, uint32_t index)
{
    struct umc_index which = {.index = index};
    return call(group, UMC_REMOVE, &which);
}

int umc_forget(int group, uint32_t index)
{
    struct umc_index which = {.index = index};
    return call(group, UMC_FORGET, &which);
}

int umc_set_mark(int group, uint32_t index, uint32_t mark)
{
    struct umc_mark change = {.index = index, .mark = mark};
    return call(group, UMC_SET_MARK, &change);
}

int umc_set_filter(int group, uint32_t index, uint32_t which, const struct filter *filter)
{
    struct umc_program programs[UMC_MAX_PROGRAMS];
    struct umc_filter change = {.index = index, .which = which, .programs = address(programs)};
    const struct sock_filter *at = filter ? filter->instructions : NULL;
    change.count = filter ? filter->count : 0;
    if (change.count > UMC_MAX_PROGRAMS)
        return -E2BIG;
    for (uint32_t i = 0; i < change.count; i++) {
        programs[i] = (struct umc_program){.instructions = address(at), .length = filter->lengths[i]};
        at += filter->lengths[i];
    }
    return call(group, UMC_SET_FILTER, &change);
}

int umc_set_shape(int group)
{
    struct umc_shape shape = {.flags = UMC_SHAPE_ORDER,
                              .size = MESSAGE_FIXED_SIZE,
                              .alignment = 8,
                              .fields_at = MESSAGE_FIXED_SIZE - 4,
                              .length_at = 4,
                              .skip_at = 8,
                              .order_at = 0,
                              .little = 'l',
                              .big = 'B'};
    return call(group, UMC_SET_SHAPE, &shape);
}

int umc_set_stamp(int group, uint32_t index, const uint8_t *bytes, uint32_t length)
{
    struct umc_stamp stamp = {.index = index,
                              .flags = UMC_STAMP_LENGTH,
                              .length = length,
                              .offset = MESSAGE_FIXED_SIZE,
                              .length_offset = MESSAGE_FIXED_SIZE - 4};
    if (length > sizeof(stamp.bytes))
        return -E2BIG;
    memcpy(stamp.bytes, bytes, length);
    return call(group, UMC_SET_STAMP, &stamp);
}

int umc_set_name(int group, struct span name, uint32_t index)
{
    struct umc_name change = {.index = index, .length = (uint32_t)name.n, .bytes = address(name.s)};
    return name.n <= UMC_MAX_NAME ? call(group, UMC_SET_NAME, &change) : -E2BIG;
}

int umc_set_class(int group, uint32_t index, uint32_t class)
{
    struct umc_class change = {.index = index, .class = class};
    return call(group, UMC_SET_CLASS, &change);
}

int umc_set_accept(int group, uint32_t class, const uint64_t from[UMC_TOPICS])
{
    struct umc_accept change = {.class = class};
    memcpy(change.from, from, sizeof(change.from));
    return call(group, UMC_SET_ACCEPT, &change);
}

int umc_write(int group, struct umc_write_entry *entries, uint32_t count, struct umc_release_entry *releases,
              uint32_t release_count)
{
    struct umc_write write = {.entries = address(entries),
                              .count = count,
                              .releases = address(releases),
                              .release_count = release_count};
    int result = umc_kernel.ioctl(group, UMC_WRITE, &write);
    return result < 0 ? -errno : result;
}

int umc_gate(int group, bool closed)
{
    struct umc_gate gate = {.closed = closed};
    return call(group, UMC_GATE, &gate);
}

int umc_watch(int group, int fd)
{
    struct umc_watch watch = {.fd = fd};
    return call(group, UMC_WATCH, &watch);
}

int umc_revoke(int group)
{
    return call(group, UMC_REVOKE, NULL);
}

int umc_pending_add(int group, uint32_t caller, uint32_t callee, uint32_t key)
{
    struct umc_pending pending = {.caller = caller, .callee = callee, .key = key};
    return call(group, UMC_PENDING_ADD, &pending);
}

int umc_pending_take(int group, struct umc_pending *pending)
{
    return call(group, UMC_PENDING_TAKE, pending);
}

int umc_pending_list(int group, uint32_t caller, uint32_t callee, uint32_t min_age,
                     struct umc_pending *entries, uint32_t room)
{
    struct umc_pending_list list = {.entries = address(entries),
                                    .count = room,
                                    .caller = caller,
                                    .callee = callee,
                                    .min_age_ms = min_age};
    int result = call(group, UMC_PENDING_LIST, &list);
    return result < 0 ? result : (int)list.count;
}

int umc_get_stats(int group, uint32_t index, struct umc_stats *stats)
{
    *stats = (struct umc_stats){.index = index};
    return call(group, UMC_GET_STATS, stats);
}

ssize_t umc_read(int group, void *bytes, size_t size)
{
    ssize_t n = umc_kernel.read(group, bytes, size);
    return n < 0 ? -errno : n;
}
