/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_EXPORT_H
#define OMNIBUS_EXPORT_H

#include "bus.h"

/* Writes one of enum relay_export_kind as JSON and hands it up as RELAY_EVENT_EXPORT. */
void export_table(struct bus *bus, uint32_t kind);

#endif
