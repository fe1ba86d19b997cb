/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TAKEOVER_PROCESS_H
#define OMNIBUS_TAKEOVER_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What /proc says of the daemon's process. */
struct process {
    pid_t pid;
    int pidfd;
    uid_t uid; /* the effective ones */
    gid_t gid;
    gid_t *groups;
    size_t n_groups;
    char *arguments; /* NUL-terminated, one after the other */
    size_t arguments_size;
    char *environment; /* likewise; as it was started */
    size_t environment_size;
};

/* Reads all of it. False, with a text in why: it is no dbus-daemon that can be taken over. */
bool process_read(struct process *p, pid_t pid, char *why, size_t why_size);
/* True if it still runs, so that its number means no other process. */
bool process_is_there(const struct process *p);
void process_free(struct process *p);
/* True if it has children: programs that are being started. */
bool process_has_children(const struct process *p);
/* True if a security module decides about messages of dbus-daemon, which would not be asked at first. */
bool process_is_mediated(char *why, size_t why_size);
/*
 * The bits of epoll_ctl(2) that each descriptor is watched with by one epoll instance. False: they can't be
 * read. Descriptors from n on are ignored.
 */
bool process_watched(const struct process *p, int epoll, uint32_t *events, size_t n);
/* Splits texts that follow one another. Returns their number; at most max are stored. */
size_t process_split(const char *texts, size_t size, const char **out, size_t max);

#endif
