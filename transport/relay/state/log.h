/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_LOG_H
#define OMNIBUS_LOG_H

#include "policy/policy.h"

#include <syslog.h>

struct bus;

/*
 * The limit of log lines that the control plane has not taken. Lines beyond LOG_LINES_MAX are dropped, which
 * is logged once there are fewer than LOG_LINES_ENOUGH. A broadcast may cause a line for every possible
 * receiver.
 */
#define LOG_LINES_ENOUGH 256u
#define LOG_LINES_MAX 16384u

/* Milliseconds after which a recurring condition is a new episode. */
#define LOG_EPISODE 60000

/* The fields of a denial besides its text. */
struct log_denial {
    uint64_t sender; /* 0xffffffffffffffff: the bus itself */
    struct span destination;
    struct policy_place rule;
};

/* The severity is one of syslog(3). */
void log_line(struct bus *bus, int severity, const char *format, ...) __attribute__((format(printf, 3, 4)));
/*
 * Notes that a condition was met. True: it was met before, less than LOG_EPISODE ago, and is in the log
 * already, as a condition that lasts for days must not fill the log. *latest is 0 at first.
 */
bool log_recurs(int64_t *latest);
/* Logs "no memory SUBJECT OBJECT", once per episode. */
void log_memory(struct bus *bus, const char *subject, const char *object);
void log_denied(struct bus *bus, int severity, const char *text, const struct log_denial *denial);

#endif
