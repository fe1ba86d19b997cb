/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_WAKE_H
#define OMNIBUS_WAKE_H

/*
 * Wakes the other thread: an eventfd or, where a sandbox forbids it, a pipe. Both descriptors are -1 when it
 * is not open.
 */
struct wake {
    int reader, writer; /* the same descriptor for an eventfd */
};

int wake_open(struct wake *wake); /* 0 or a negative error number */
void wake_close(struct wake *wake);
void wake_up(const struct wake *wake);    /* the reader becomes readable; never waits */
void wake_clear(const struct wake *wake); /* the reader is no longer readable */

#endif
