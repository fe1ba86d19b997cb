/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_SYMBOL_H
#define OMNIBUS_SYMBOL_H

#include "base/list.h"
#include "base/span.h"
#include "base/table.h"

/* A text that is kept once however many match rules use it: equal symbols of one table are the same pointer.
 */
struct symbol {
    struct table_node node;
    struct list mentions;    /* the match patterns that name it as a unique name */
    struct match_path *path; /* while it is a value of argNpath, its place among these; else NULL */
    uint32_t references;
    uint32_t size;
    char text[];
};

struct symbols {
    struct table table;
    uint32_t longest; /* that was ever kept: no longer text needs to be looked for */
};

int symbols_init(struct symbols *symbols);  /* 0, -ENOMEM, or what getrandom says */
void symbols_free(struct symbols *symbols); /* all symbols must have been released */
/* The symbol of a text; NULL: nobody uses that text. */
struct symbol *symbols_find(const struct symbols *symbols, struct span text);

/* A symbol of its own, in no table. NULL: no memory. */
struct symbol *symbol_new(struct span text);
/* Puts a symbol of its own into the table, or frees it for the one that is there: the shared one, with a
 * reference. */
struct symbol *symbols_share(struct symbols *symbols, struct symbol *own);
/* Gives a reference back; the table forgets a symbol that has none. */
void symbols_release(struct symbols *symbols, struct symbol *symbol);

static inline struct span symbol_span(const struct symbol *symbol)
{
    return (struct span){symbol->text, symbol->size};
}

#endif
