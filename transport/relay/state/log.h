/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_LOG_H
#define OMNIBUS_LOG_H

#include "policy/policy.h"

#include <syslog.h>

struct bus;

/*
 * Lines that the control plane has not taken: more than LOG_LINES_MAX are lost, which is logged once there
 * are fewer than LOG_LINES_ENOUGH. A broadcast may cause a line for every connection that would get it.
 */
#define LOG_LINES_ENOUGH 256u
#define LOG_LINES_MAX 16384u

/* Milliseconds that end an episode of what recurs. */
#define LOG_EPISODE 60000

/* What is known of a denial besides its text. */
struct log_denial {
    uint64_t sender; /* 0xffffffffffffffff: the bus itself */
    struct span destination;
    struct policy_place rule;
};

/* The severity is one of syslog(3). */
void log_line(struct bus *bus, int severity, const char *format, ...) __attribute__((format(printf, 3, 4)));
/*
 * A condition that lasts for days must not fill the log. Notes that it was met now; true: also less than
 * LOG_EPISODE ago, so that it has its line. *latest is 0 at first.
 */
bool log_recurs(int64_t *latest);
/* "no memory SUBJECT OBJECT", once an episode. */
void log_memory(struct bus *bus, const char *subject, const char *object);
void log_denied(struct bus *bus, int severity, const char *text, const struct log_denial *denial);

#endif
