/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_CARETAKER_H
#define OMNIBUS_CARETAKER_H

#include "api/relay.h"

/*
 * Stands for a control plane that has failed before it took any event of a resumed data plane: freezes the
 * data plane, and writes its present state. The sections of the control plane are those of the state that it
 * was resumed from, brought up to date by the events: names that were given and released, and connections
 * that were lost or handed up. What only a control plane can decide is a CALL or PARKED, which stays in the
 * state.
 *
 * To be called by the thread of the data plane, at its end, or where there is none. Returns a sealed memfd;
 * or a negative errno, with a text in why.
 */
int caretaker_write(struct relay *relay, const uint8_t *state, size_t size, char *why, size_t why_size);

#endif
