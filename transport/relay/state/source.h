/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_SOURCE_H
#define OMNIBUS_SOURCE_H

/*
 * The target of an epoll event, embedded in each object registered with epoll; it tells the kind of object.
 */
enum source_kind {
    SOURCE_COMMANDS,
    SOURCE_GROUP,
    SOURCE_PEER,
    SOURCE_DOOR,
    SOURCE_MEDIATION,
};

struct source {
    enum source_kind kind;
};

#endif
