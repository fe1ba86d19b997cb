/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_REACHED_H
#define FUZZ_REACHED_H

#include <stdint.h>

/*
 * Counts of the interesting states of the bus that were reached, as far as clients can tell. The names are
 * printed; the table in states.py lists the required ones.
 */
#define REACHED(X)                                                                                           \
    X(CONNECTED, "connected")                                                                                \
    X(BACKLOG_FULL, "accept queue full")                                                                     \
    X(GREETING_FAILED, "handshake refused")                                                                  \
    X(GREETING_CUT, "closed during the handshake")                                                           \
    X(HELLO_REFUSED, "Hello refused (connection limits)")                                                    \
    X(MESSAGES_SENT, "messages sent")                                                                        \
    X(MESSAGES_RECEIVED, "messages received")                                                                \
    X(CALLS_ANSWERED, "calls answered by peers")                                                             \
    X(DRIVER_ANSWERED, "calls answered by the bus")                                                          \
    X(BROADCASTS_RECEIVED, "broadcasts received")                                                            \
    X(UNKNOWN_TYPES, "messages of unknown types")                                                            \
    X(OVERHEARD, "messages seen by eavesdroppers and monitors")                                              \
    X(MONITORS, "monitors")                                                                                  \
    X(FDS_SENT, "descriptors sent")                                                                          \
    X(FDS_RECEIVED, "descriptors received")                                                                  \
    X(FDS_TOGETHER, "descriptors of two messages sent together")                                             \
    X(FDS_AT_CLOSE, "closed with descriptors of a half message")                                             \
    X(HALF_AT_CLOSE, "closed within a message")                                                              \
    X(KILLED, "client processes killed")                                                                     \
    X(SHUT, "shut down for writing")                                                                         \
    X(SOCKET_FULL, "client's socket full")                                                                   \
    X(CUT_OFF, "clients cut off by the bus")                                                                 \
    X(WILD, "clients that broke the protocol")                                                               \
    X(PAUSED, "seen paused")                                                                                 \
    X(STALLED, "seen stalled")                                                                               \
    X(QUEUED, "seen with a queue")                                                                           \
    X(PARKED, "seen with parked messages")                                                                   \
    X(FULL_QUEUE, "refused: full queue")                                                                     \
    X(TOO_MANY_REPLIES, "refused: max_replies_per_connection")                                               \
    X(TOO_MANY_RULES, "refused: max_match_rules_per_connection")                                             \
    X(TOO_MANY_NAMES, "refused: max_names_per_connection")                                                   \
    X(TOO_MANY_STARTS, "refused: max_pending_service_starts")                                                \
    X(OTHER_LIMIT, "refused: another limit")                                                                 \
    X(DENIED, "denied by the policy")                                                                        \
    X(NO_FDS, "refused: receiver takes no descriptors")                                                      \
    X(NO_REPLY, "NoReply: callee gone or reply_timeout")                                                     \
    X(UNKNOWN_NAME, "no such name")                                                                          \
    X(STARTED, "calls answered by started services")                                                         \
    X(START_FAILED, "service failed to start")                                                               \
    X(START_TIMED_OUT, "service start timed out")                                                            \
    X(NAMES_OWNED, "names acquired")                                                                         \
    X(NAMES_LOST, "names lost")                                                                              \
    X(NAMES_QUEUED, "queued for a name")                                                                     \
    X(RULES_ADDED, "match rules added")                                                                      \
    X(RULES_REMOVED, "match rules removed")                                                                  \
    X(SERVERS, "container servers")                                                                          \
    X(CONTAINED, "connections of containers")                                                                \
    X(INSTANCES, "messages with an instance")                                                                \
    X(RELOADED, "configuration reloaded")                                                                    \
    X(OTHER_ERROR, "other errors")

enum reached {
#define REACHED_ENUM(name, text) REACHED_##name,
    REACHED(REACHED_ENUM)
#undef REACHED_ENUM
        REACHED_KINDS,
};

extern uint64_t reached[REACHED_KINDS];

/* Prints one line of JSON, which the runner sums up. */
void reached_print(uint64_t rounds, uint64_t memory);
/* Counts an error of the bus by its name and text. */
void reached_error(const char *name, const char *text);

#endif
