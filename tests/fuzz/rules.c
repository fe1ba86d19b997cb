/* SPDX-License-Identifier: MIT */
#include "rules.h"

#include "client.h"

struct rule *rules_enter(struct rules *rules, enum rule_kind kind, uint32_t number, const char *text)
{
    for (uint32_t i = 0; i < rules->n; i++)
        if (rules->at[i].kind == kind && rules->at[i].number == number)
            return &rules->at[i];
    if (rules->n == RULES_MAX)
        return NULL;
    struct rule *rule = &rules->at[rules->n++];
    *rule = (struct rule){.kind = kind, .number = number};
    snprintf(rule->text, sizeof(rule->text), "%s", text);
    return rule;
}

static bool matches(const struct rule *rule, const struct record *record, const struct client *sender)
{
    uint32_t topic = record->topic;
    switch (rule->kind) {
    case RULE_MEMBER:
        return rule->number == topic;
    case RULE_INTERFACE:
        return rule->number == topic % 3;
    case RULE_NAMESPACE:
        return rule->number == topic % 4;
    case RULE_PATH:
        return rule->number == topic;
    case RULE_ARG0:
        return record->tagged && rule->number == topic;
    case RULE_ARG0_NAMESPACE:
        return record->tagged && rule->number == topic && topic % 2 == 1;
    case RULE_ARG0_PATH:
        return record->tagged && rule->number == topic && topic % 2 == 0;
    case RULE_SENDER:
        return sender && rule->number == sender->id;
    case RULE_OWNER:
        return sender && rule->number == sender->slot;
    case RULE_ALL:
    case RULE_EAVESDROP:
    case RULE_KINDS:
        return true;
    }
    return true;
}

bool rules_may_match(const struct rules *rules, const struct record *record, const struct client *sender)
{
    for (uint32_t i = 0; i < rules->n; i++) {
        const struct rule *rule = &rules->at[i];
        if (rule->adding + rule->added > 0 && matches(rule, record, sender))
            return true;
    }
    return false;
}

bool rules_must_match(const struct rules *rules, const struct record *record, const struct client *sender)
{
    for (uint32_t i = 0; i < rules->n && !rules->removed; i++) {
        const struct rule *rule = &rules->at[i];
        bool timeless = rule->kind != RULE_OWNER && rule->kind != RULE_EAVESDROP;
        if (rule->added > 0 && timeless && matches(rule, record, sender))
            return true;
    }
    return false;
}

void rules_added(struct rules *rules, uint32_t index, bool success)
{
    rules->at[index].adding--;
    rules->at[index].added += success;
    rules->added += success;
}

void rules_removed(struct rules *rules, uint32_t index, bool success)
{
    rules->at[index].removing--;
    rules->at[index].added -= success;
    rules->added -= success;
}
