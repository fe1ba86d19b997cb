/* SPDX-License-Identifier: MIT */
#ifndef PLAYER_RECEIVE_H
#define PLAYER_RECEIVE_H

#include "peer.h"

/* Takes all whole messages of a connection; true: its next op may be possible now. */
bool receive_all(struct peer *peer, uint32_t number);
void receive_closed(uint32_t number);      /* the bus has closed the connection, as it was asked to */
int receive_open_starts(const char *path); /* the socket on which names to start arrive */
void receive_start(int fd);

/* Of the loop: an event has happened for the first time. */
void replay_happened(uint32_t id);

#endif
