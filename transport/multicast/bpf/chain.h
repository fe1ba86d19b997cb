/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_CHAIN_H
#define OMNIBUS_CHAIN_H

#include "bpf/filter.h"
#include "bpf/tree.h"

/* Entries spread over as many programs as it takes; each begins anew, and asks the next one at its end. */

/* Writes a program for some of the entries. The last one of a chain must not leave it to the next. */
typedef void (*chain_part)(struct program *p, const struct tree_entry *entries, uint32_t n, bool is_last,
                           const void *context);

/* As filter_compile_egress has it; entries are sorted. Without entries there is one program. */
int chain_compile(struct filter *out, const struct tree_entry *entries, uint32_t n, chain_part part,
                  const void *context);

#endif
