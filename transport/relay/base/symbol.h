/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_SYMBOL_H
#define OMNIBUS_SYMBOL_H

#include "base/list.h"
#include "base/span.h"
#include "base/table.h"

/*
 * An interned text, stored once for all match rules that use it: equal symbols of one table are the same
 * pointer.
 */
struct symbol {
    struct table_node node;
    struct list mentions;    /* the match patterns in which it is a unique name */
    struct match_path *path; /* its place among the values of argNpath; NULL: it is none of them */
    uint32_t references;
    uint32_t size;
    char text[];
};

struct symbols {
    struct table table;
    uint32_t longest; /* the longest text ever interned: a longer one cannot be found */
};

int symbols_init(struct symbols *symbols);  /* 0, -ENOMEM, or the negative errno of getrandom */
void symbols_free(struct symbols *symbols); /* all symbols must have been released before */
/* The symbol of a text; NULL: the text is not in the table. */
struct symbol *symbols_find(const struct symbols *symbols, struct span text);

/* A symbol that is in no table yet. NULL: no memory. */
struct symbol *symbol_new(struct span text);
/*
 * Adds a symbol to the table, or frees it if the table has an equal one. Returns a reference to the symbol of
 * the table.
 */
struct symbol *symbols_share(struct symbols *symbols, struct symbol *own);
/* Drops a reference; the last one removes the symbol from the table. */
void symbols_release(struct symbols *symbols, struct symbol *symbol);

static inline struct span symbol_span(const struct symbol *symbol)
{
    return (struct span){symbol->text, symbol->size};
}

#endif
