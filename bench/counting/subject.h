/* SPDX-License-Identifier: MIT */
#ifndef INSTRUCTIONS_SUBJECT_H
#define INSTRUCTIONS_SUBJECT_H

#include <stdint.h>

/* Something that relays messages between clients at the other ends of socketpairs. */
struct subject {
    const char *name;
    void (*open)(const int *fds, int n); /* the ends that it serves; client i is :1.i */
    void (*turn)(void);                  /* handles the received data without waiting: the counted part */
    void (*close)(void);
};

extern const struct subject relay, floor_relay;

#endif
