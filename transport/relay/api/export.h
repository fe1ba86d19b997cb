/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_EXPORT_H
#define OMNIBUS_EXPORT_H

#include "base/json.h"
#include "state/bus.h"

struct command;

/*
 * Writes one of enum relay_export_kind as JSON and pushes it as RELAY_EVENT_EXPORT in the given event. ids
 * are those of n connections, uint64_t each and not aligned; n 0: all.
 */
void export_table(struct bus *bus, uint32_t kind, const uint8_t *ids, size_t n, struct event *event);
/* Pushes a table, or an empty one without memory, which takes the text. */
void export_push(struct bus *bus, uint32_t kind, struct json *json, struct event *event);
/* Answers a COMMAND_EXPLAIN: RELAY_EXPORT_MEDIATION. */
void export_mediation(struct bus *bus, const struct command *command);

#endif
