/* SPDX-License-Identifier: MIT */
#include "symbol.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

int symbols_init(struct symbols *symbols)
{
    *symbols = (struct symbols){0};
    ssize_t n;
    do
        n = getrandom(symbols->seed, sizeof(symbols->seed), 0);
    while (n < 0 && errno == EINTR);
    if (n != sizeof(symbols->seed))
        return n < 0 ? -errno : -EIO;
    symbols->seed[1] |= 1; /* it is multiplied with */
    return table_init(&symbols->table);
}

void symbols_free(struct symbols *symbols)
{
    table_free(&symbols->table);
}

/* Both halves of the product, so that a difference in the input meets the secret in all its bits. */
static inline uint64_t fold(uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
    uint64_t cross = (a >> 32) * (uint32_t)b + (uint32_t)a * (b >> 32);
    return (a * b) ^ ((a >> 32) * (b >> 32) + (cross >> 32));
#endif
}

static inline uint64_t load(const char *at, uint32_t n)
{
    uint64_t word = 0;
    memcpy(&word, at, n);
    return word;
}

/* Eight bytes a step: every message is hashed several times, where span_hash would be felt. */
static uint64_t symbol_hash(const struct symbols *symbols, struct span text)
{
    const uint64_t secret = symbols->seed[1];
    uint64_t h = symbols->seed[0] ^ text.n;
    uint32_t i = 0;
    for (; i + 8 < text.n; i += 8)
        h = fold(h ^ load(text.s + i, 8), secret);
    if (text.n >= 8)
        return fold(h ^ load(text.s + text.n - 8, 8), secret); /* may overlap the one before */
    return fold(h ^ load(text.s, text.n), secret);
}

static struct symbol *find(const struct symbols *symbols, struct span text, uint64_t hash)
{
    for (struct table_node *node = table_first(&symbols->table, hash); node; node = table_again(node)) {
        struct symbol *symbol = CONTAINER_OF(node, struct symbol, node);
        if (span_equal(symbol_span(symbol), text))
            return symbol;
    }
    return NULL;
}

struct symbol *symbols_find(const struct symbols *symbols, struct span text)
{
    if (!text.s || text.n > symbols->longest)
        return NULL;
    return find(symbols, text, symbol_hash(symbols, text));
}

struct symbol *symbol_new(struct span text)
{
    struct symbol *symbol = malloc(sizeof(*symbol) + (size_t)text.n + 1);
    if (!symbol)
        return NULL;
    symbol->node = (struct table_node){0};
    list_init(&symbol->mentions);
    symbol->references = 1;
    symbol->size = text.n;
    memcpy(symbol->text, text.s, text.n);
    symbol->text[text.n] = '\0';
    return symbol;
}

struct symbol *symbols_share(struct symbols *symbols, struct symbol *own)
{
    uint64_t hash = symbol_hash(symbols, symbol_span(own));
    struct symbol *shared = find(symbols, symbol_span(own), hash);
    if (shared) {
        shared->references++;
        free(own);
        return shared;
    }
    if (own->size > symbols->longest)
        symbols->longest = own->size;
    table_insert(&symbols->table, &own->node, hash);
    return own;
}

void symbols_release(struct symbols *symbols, struct symbol *symbol)
{
    if (--symbol->references > 0)
        return;
    table_remove(&symbols->table, &symbol->node);
    free(symbol);
    if (symbols->table.count == 0)
        symbols->longest = 0;
}
