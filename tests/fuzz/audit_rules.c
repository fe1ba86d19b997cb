/* SPDX-License-Identifier: MIT */
#include "audit_rules.h"

#include "control.h"

/* A position in the body of a message. */
struct reader {
    const struct message *message;
    size_t at;
};

static uint32_t read_u32(struct reader *r)
{
    r->at = (r->at + 3) & ~(size_t)3;
    r->at += 4;
    return wire_u32(r->message->body + r->at - 4, r->message->big);
}

static const char *read_string(struct reader *r)
{
    uint32_t n = read_u32(r);
    const char *text = (const char *)r->message->body + r->at;
    r->at += n + 1;
    return text;
}

static const struct rule *rule_by_text(const struct rules *rules, const char *text)
{
    for (uint32_t i = 0; i < rules->n; i++)
        if (strcmp(rules->at[i].text, text) == 0)
            return &rules->at[i];
    return NULL;
}

/* The count of each rule is known, except for rules about names of disconnected owners. */
static bool audit_client_rules(const struct world *w, const struct client *c, const uint32_t *found,
                               char *why)
{
    for (uint32_t i = 0; i < c->rules.n; i++) {
        const struct rule *rule = &c->rules.at[i];
        const struct client *about = w->clients[rule->kind == RULE_SENDER ? rule->number : c->id];
        bool gone = !client_alive(about) || about->monitor || about->wild;
        snprintf(why, AUDIT_TEXT,
                 "GetAllMatchRules names the rule %s of %s %u times, and it is there %u times", rule->text,
                 c->unique, found[i], rule->added);
        if (gone ? found[i] > rule->added : found[i] != rule->added)
            return false;
    }
    return true;
}

bool audit_all_rules(struct world *w, char why[AUDIT_TEXT])
{
    const struct message *message = control_call(w, "GetAllMatchRules", NULL);
    struct reader r = {message, 8};
    snprintf(why, AUDIT_TEXT, "GetAllMatchRules is refused");
    if (!message)
        return false;
    while (r.at < message->body_size) {
        uint32_t found[RULES_MAX] = {0};
        r.at = (r.at + 7) & ~(size_t)7;
        const char *unique = read_string(&r);
        const struct client *c = world_find(w, unique);
        uint32_t size = read_u32(&r);
        size_t end = r.at + size;
        bool known = c && client_alive(c) && c->state == CLIENT_ACTIVE && !c->monitor && !c->wild;
        while (r.at < end) {
            const char *text = read_string(&r);
            const struct rule *rule = known ? rule_by_text(&c->rules, text) : NULL;
            snprintf(why, AUDIT_TEXT, "GetAllMatchRules names the rule %s of %s, which has none such", text,
                     unique);
            if (known && !rule)
                return false;
            if (rule)
                found[rule - c->rules.at]++;
        }
        if (known && !audit_client_rules(w, c, found, why))
            return false;
    }
    return true;
}
