/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TEST_POLICY_DRAFT_H
#define OMNIBUS_TEST_POLICY_DRAFT_H

/* Builds blocks of rules in the format of omnibus.policy.block. */

#include "../../transport/relay/policy/policy_internal.h"

#include <stdlib.h>
#include <string.h>

#define POLICY_DRAFT_RULES 2048u

struct rule_draft { /* NULL: absent; max_fds 0: no limit */
    uint8_t kind;
    bool allow;
    const char *destination, *interface, *member;
    uint8_t context, type;
    uint32_t principal;
    uint32_t flags;
    const char *file;
    uint32_t line;
};

struct policy_draft {
    uint8_t data[32 + 64 * POLICY_DRAFT_RULES + 65536];
    uint32_t n_rules, size, strings; /* strings: the used size of texts */
    char texts[65536];
};

static inline void policy_draft_number(uint8_t *at, uint32_t value)
{
    for (uint32_t i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static inline void policy_draft_text(struct policy_draft *draft, uint8_t *at, const char *text)
{
    if (!text)
        return;
    if (draft->strings + strlen(text) + 1 > sizeof(draft->texts))
        abort();
    policy_draft_number(at, draft->strings);
    memcpy(draft->texts + draft->strings, text, strlen(text) + 1);
    draft->strings += (uint32_t)strlen(text) + 1;
}

static inline void policy_draft_begin(struct policy_draft *draft)
{
    memset(draft->data, 0, 32);
    draft->texts[0] = '\0';
    draft->n_rules = draft->size = 0;
    draft->strings = 1;
}

static inline void policy_draft_add(struct policy_draft *draft, const struct rule_draft *rule)
{
    uint8_t *at = draft->data + 32 + 64 * draft->n_rules++;
    if (draft->n_rules > POLICY_DRAFT_RULES)
        abort();
    memset(at, 0, 64);
    at[0] = rule->kind;
    at[1] = rule->allow;
    at[2] = rule->context;
    at[3] = rule->type;
    policy_draft_number(at + 4, rule->principal);
    policy_draft_text(draft, at + 8, rule->destination);
    policy_draft_text(draft, at + 16, rule->interface);
    policy_draft_text(draft, at + 20, rule->member);
    policy_draft_number(at + 32, POLICY_ANY);
    at[36] = (uint8_t)rule->flags;
    policy_draft_text(draft, at + 40, rule->file);
    policy_draft_number(at + 44, rule->line);
}

static inline void policy_draft_end(struct policy_draft *draft)
{
    const uint32_t strings = 32 + 64 * draft->n_rules;
    memcpy(draft->data, "OMNIPOL1", 8);
    policy_draft_number(draft->data + 8, draft->n_rules);
    policy_draft_number(draft->data + 12, 64);
    policy_draft_number(draft->data + 16, strings);
    policy_draft_number(draft->data + 20, draft->strings);
    memcpy(draft->data + strings, draft->texts, draft->strings);
    draft->size = strings + draft->strings;
}

static inline void policy_draft(struct policy_draft *draft, const struct rule_draft *rules, size_t n)
{
    policy_draft_begin(draft);
    for (size_t i = 0; i < n; i++)
        policy_draft_add(draft, &rules[i]);
    policy_draft_end(draft);
}

#endif
