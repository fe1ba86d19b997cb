/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_CHAIN_H
#define OMNIBUS_CHAIN_H

#include "bpf/filter.h"
#include "bpf/tree.h"

/*
 * A compiler that splits entries over as many programs as they need. Each program starts afresh and continues
 * with the next one at its end.
 */

/* Writes a program for some of the entries. The last program of a chain must not continue with a next one. */
typedef void (*chain_part)(struct program *p, const struct tree_entry *entries, uint32_t n, bool is_last,
                           const void *context);

/* Returns as filter_compile_egress does. entries are sorted; without entries there is one program. */
int chain_compile(struct filter *out, const struct tree_entry *entries, uint32_t n, chain_part part,
                  const void *context);

#endif
