/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_SOURCE_H
#define OMNIBUS_SOURCE_H

/* What an event of epoll is about: it is in each object that epoll knows, and says which kind that is. */
enum source_kind {
    SOURCE_COMMANDS,
    SOURCE_DIRECT,
    SOURCE_PEER,
    SOURCE_DOOR,
};

struct source {
    enum source_kind kind;
};

#endif
