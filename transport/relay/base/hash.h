/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_HASH_H
#define OMNIBUS_HASH_H

#include "base/span.h"

#include <errno.h>
#include <sys/random.h>

/*
 * Keyed hashes
 *
 * Clients choose most keys of the bus's tables: serials, names, match rules, even their uids within a user
 * namespace. A client that can compute a hash can fill one bucket; 32,000 pending replies with colliding
 * serials once cost every other client a second for each message. Therefore no hash is without a key: every
 * table draws its own when it is made (table_init), only these functions return a struct hash, and the
 * functions of table.h accept nothing else.
 *
 * A step multiplies the state, mixed with eight bytes of input, by an odd secret, and folds the 128 bits of
 * the product. The state begins with a second secret, so neither factor is known, and a step is injective
 * enough that the best known differences (the top bit of a word, or a whole word) collide with a probability
 * near 2^-60 over the choice of the secrets. The factor is odd, hence never zero; a state of zero, which
 * would forget the preceding input, takes a guess of 64 secret bits.
 *
 * Alternatives: SipHash-1-3 has the better pedigree, and costs 14 instructions for each eight bytes and 60 at
 * the end, against 5 and 3; a broadcast hashes five to ten texts, so that would be 5 to 10 % of a message.
 * Multilinear hashing has a proof, but needs a secret word for each eight bytes of the longest match rule. An
 * attacker sees nothing of a hash except, through the noise of a shared bus, the length of chains, which are
 * no longer than those of random keys. tests/relay/test_table.c compares chains of structured keys with
 * those.
 */
struct hash_key {
    uint64_t start, factor;
};

struct hash {
    uint64_t bits;
};

/* 0 or the negative errno of getrandom. Early at boot this waits for the kernel's entropy. */
static inline int hash_key_draw(struct hash_key *key)
{
    ssize_t n;
    do
        n = getrandom(key, sizeof(*key), 0);
    while (n < 0 && errno == EINTR);
    key->factor |= 1;
    if (n == sizeof(*key))
        return 0;
    return n < 0 ? -errno : -EIO;
}

/* Folds both halves of the product, so that every bit of a difference in the input meets the secret. */
static inline uint64_t hash_fold(uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
    uint64_t cross = (a >> 32) * (uint32_t)b + (uint32_t)a * (b >> 32);
    return (a * b) ^ ((a >> 32) * (b >> 32) + (cross >> 32));
#endif
}

static inline struct hash hash_number(const struct hash_key *key, uint64_t number)
{
    return (struct hash){hash_fold(key->start ^ number, key->factor)};
}

/* Continues a hash with a number. */
static inline struct hash hash_next(const struct hash_key *key, struct hash hash, uint64_t number)
{
    return (struct hash){hash_fold(hash.bits ^ number, key->factor)};
}

static inline uint64_t hash_load(const char *at, uint32_t n)
{
    uint64_t word = 0;
    memcpy(&word, at, n);
    return word;
}

static inline struct hash hash_text(const struct hash_key *key, struct span text)
{
    uint64_t h = key->start ^ text.n;
    if (text.n < 8)
        return (struct hash){hash_fold(h ^ (text.n ? hash_load(text.s, text.n) : 0), key->factor)};
    for (uint32_t i = 0; i + 8 < text.n; i += 8)
        h = hash_fold(h ^ hash_load(text.s + i, 8), key->factor);
    /* the last eight bytes, which may overlap the block before */
    return (struct hash){hash_fold(h ^ hash_load(text.s + text.n - 8, 8), key->factor)};
}

#endif
