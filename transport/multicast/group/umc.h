/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_UMC_H
#define OMNIBUS_UMC_H

#include "base/span.h"

#include <linux/unix_multicast.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct filter;

/* The ioctls of unix_multicast(7) on a group. All return 0 or what the comment says, or a negative errno. */

int umc_add(int group, int listener, int accepted, uint32_t index, uint32_t mark, bool quiet);
int umc_remove(int group, uint32_t index);
int umc_forget(int group, uint32_t index);
int umc_set_mark(int group, uint32_t index, uint32_t mark);
/* which: UMC_FILTER_*; filter NULL: every message asks. */
int umc_set_filter(int group, uint32_t index, uint32_t which, const struct filter *filter);
/* Says what headers look like, so that the kernel remembers verdicts of filters that look at no more. */
int umc_set_shape(int group);
/* Sets the bytes inserted after the fixed part of each header, at the beginning of its fields. */
int umc_set_stamp(int group, uint32_t index, const uint8_t *bytes, uint32_t length);
/* Whose a name is; UMC_ANY: no member's, which can't fail. */
int umc_set_name(int group, struct span name, uint32_t index);
int umc_set_class(int group, uint32_t index, uint32_t class);
/* What members of a class accept: classes of senders, by topic. */
int umc_set_accept(int group, uint32_t class, const uint64_t from[UMC_TOPICS]);
/* Holds the receivers of all entries, releases members, then writes the entries. */
int umc_write(int group, struct umc_write_entry *entries, uint32_t count, struct umc_release_entry *releases,
              uint32_t release_count);
int umc_gate(int group, bool closed);
/* Has a netlink socket close the gate as soon as it is readable, until umc_revoke. */
int umc_watch(int group, int fd);
/* Empties all filters but the first. 1: the gate stays closed, as what is watched is readable. */
int umc_revoke(int group);
int umc_pending_add(int group, uint32_t caller, uint32_t callee, uint32_t key);
/* Removes it, and stores its age within the call. */
int umc_pending_take(int group, struct umc_pending *pending);
/* Returns the number of pending replies, which may exceed room. */
int umc_pending_list(int group, uint32_t caller, uint32_t callee, uint32_t min_age,
                     struct umc_pending *entries, uint32_t room);
int umc_get_stats(int group, uint32_t index, struct umc_stats *stats);
ssize_t umc_read(int group, void *bytes, size_t size);

/* The system calls behind these functions, which tests replace. */
struct umc_kernel {
    int (*ioctl)(int fd, unsigned long request, void *argument);
    ssize_t (*read)(int fd, void *bytes, size_t size);
};
extern struct umc_kernel umc_kernel;

#endif
