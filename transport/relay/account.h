/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_ACCOUNT_H
#define OMNIBUS_ACCOUNT_H

#include <stdint.h>
#include <stdlib.h>

/* What one connection has under way. It outlives the connection while tokens hold it. */
struct account {
    uint32_t references;
    uint64_t bytes, peak_bytes;
    uint64_t fds, peak_fds;
};

/* Sits in the object that costs something: charged when that is made, released when it is freed. */
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
