/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_SHARED_HEAP_H
#define OMNIBUS_SHARED_HEAP_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The shared heap: what the data plane allocates lies in memory that a process forked from this one sees, at
 * the same addresses, and that outlives this process. So a standby (api/standby.c) can read the tables of a
 * bus that was killed, with the code of the bus.
 *
 * - It is one mapping of shared anonymous memory, which costs what is used of it. Only the standby inherits
 *   it; another fork, which would have written to it as its own, has none.
 * - malloc and its kind lead here in the program, by the linker's --wrap (shared_heap_wrap.c), once
 *   shared_heap_begin was called. Without it, and in tests, they are the C library's: sanitizers and
 *   failing allocations see each object.
 * - Memory is divided into spans of 64 KiB. A small object lies in a span of its size class; a large one has
 *   a run of spans. What describes a span lies apart from it, so that an overflow does not reach it.
 * - A lock makes it usable from both planes. It is held for as long as a few lines take.
 *
 * Rejected: a journal, in which each table notes its changes a second time. Each change would have two
 * authors, each message that waits two copies, and what is forgotten in one of twenty places is missed after
 * the first crash only. The C library's heap in shared memory: it has no hook for that any more.
 */

/* 0 or a negative errno. Before there is a second thread; later calls do nothing. */
int shared_heap_begin(void);
/* Undoes it, while nothing is allocated: for tests. */
void shared_heap_end(void);
bool shared_heap_begun(void);
/* Whether a child of the next fork has it. */
void shared_heap_inherit(bool inherit);
/*
 * In the standby, when the process that allocated is dead, perhaps within an allocation: objects come from
 * other memory from now on, and nothing is freed.
 */
void shared_heap_salvage(void);

/* As malloc, free and realloc. Alignment is 16 bytes; an object of no bytes has an address, too. */
void *shared_heap_new(size_t size);
void shared_heap_free(void *object); /* accepts NULL */
void *shared_heap_resize(void *object, size_t size);
bool shared_heap_owns(const void *object); /* or salvages, and then owns all there is */

#endif
