/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_ACCOUNT_H
#define OMNIBUS_ACCOUNT_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/*
 * Queued messages are charged at their cost in memory, not at their size on the wire: the limits bound the
 * memory that senders and receivers can make the bus keep. dbus-daemon charges allocated sizes as well.
 *
 * - A copy is charged the allocation that holds it (memory_cost). This counts the structs, which are larger
 *   than a message of 100 bytes.
 * - A message may keep the buffer that it was received in only if it fills at least half of that buffer
 *   (outgoing.c); the whole capacity is charged. A smaller message is copied when it has to wait.
 * - Descriptors are counted, and the array that holds them is part of the cost.
 *
 * The received part of an incomplete message belongs to its connection alone. It is not charged, since a
 * message has to be read to its end, but it is bounded by max_message_size and reported with what is charged
 * (peer_waiting_bytes).
 */

/* The memory that malloc uses for an object of this size, with its header and rounding. */
static inline uint64_t memory_cost(size_t size)
{
    return ((uint64_t)size + 23) & ~(uint64_t)15;
}

/* The bytes and descriptors that one connection has in flight. Tokens keep it alive beyond the connection. */
struct account {
    uint32_t references;
    uint64_t bytes, peak_bytes;
    uint64_t fds, peak_fds;
};

/* A charge, embedded in the object that it is for: made with the object and released when it is freed. */
struct token {
    struct account *account; /* NULL: nothing charged */
    uint64_t bytes;
    uint32_t fds;
};

static inline struct account *account_new(void)
{
    struct account *account = calloc(1, sizeof(*account));
    if (account)
        account->references = 1;
    return account;
}

static inline struct account *account_ref(struct account *account)
{
    account->references++;
    return account;
}

static inline void account_unref(struct account *account)
{
    if (account && --account->references == 0)
        free(account);
}

static inline void token_charge(struct token *token, struct account *account, uint64_t bytes, uint32_t fds)
{
    *token = (struct token){account, bytes, fds};
    account->references++;
    account->bytes += bytes;
    account->fds += fds;
    if (account->bytes > account->peak_bytes)
        account->peak_bytes = account->bytes;
    if (account->fds > account->peak_fds)
        account->peak_fds = account->fds;
}

/* Adjusts the charge of an object whose cost has changed. */
static inline void token_add(struct token *token, uint64_t bytes)
{
    if (!token->account)
        return;
    struct account *account = token->account;
    token->bytes += bytes;
    account->bytes += bytes;
    if (account->bytes > account->peak_bytes)
        account->peak_bytes = account->bytes;
}

static inline void token_subtract(struct token *token, uint64_t bytes)
{
    if (!token->account)
        return;
    bytes = bytes < token->bytes ? bytes : token->bytes;
    token->bytes -= bytes;
    token->account->bytes -= bytes;
}

static inline void token_release(struct token *token)
{
    if (!token->account)
        return;
    token->account->bytes -= token->bytes;
    token->account->fds -= token->fds;
    account_unref(token->account);
    token->account = NULL;
}

#endif
