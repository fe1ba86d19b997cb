/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_FOLLOWER_H
#define OMNIBUS_FOLLOWER_H

#include <stdbool.h>

/*
 * A follower tells, by inotify(7), whether anything has changed where certain paths lead, without looking at
 * the paths again.
 *
 * - Each directory on the way of a path is watched for the next component, symbolic links are followed
 *   likewise, and a component that is missing is awaited. What the path leads to is watched as a whole.
 * - The queue of the kernel is read when the question is asked, so a change counts that was made before.
 * - It is for one reading of what it follows: after a change it has changed for good, and another is made. So
 *   it never has to tell changes before a reading from those after it.
 * - One thread at a time uses it.
 *
 * What it can't follow has changed always: too many paths, directories that may not be read, and file systems
 * on which others than this kernel write. It misses a file system that is mounted over a directory, and
 * writing through a memory mapping.
 */

#pragma GCC visibility push(default)
/* cffi: begin */
struct follower;

struct follower *follower_new(void); /* NULL: no memory, or no inotify */
void follower_free(struct follower *follower);
void follower_add(struct follower *follower, const char *path); /* absolute */
_Bool follower_changed(struct follower *follower);
/* cffi: end */
#pragma GCC visibility pop

#endif
