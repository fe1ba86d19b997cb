/* SPDX-License-Identifier: MIT */
#include "audit.h"

#include "audit_rules.h"
#include "control.h"

static bool in_step(const struct client *c)
{
    return client_alive(c) && c->state == CLIENT_ACTIVE && !c->monitor && !c->wild;
}

/* Has every client with a rule for the broadcast received it? */
static bool spread(const struct world *w, const struct record *record)
{
    for (uint32_t slot = 0; slot < SLOTS_MAX && record->must; slot++) {
        const struct client *c = w->slots[slot];
        bool must = record->must >> slot & 1 && in_step(c) && c->id < record->clients && !c->rules.removed;
        if (must)
            return false;
    }
    return true;
}

/* Is the call pending because the callee will never answer? */
static bool is_open(const struct world *w, const struct record *record)
{
    if (record->type != WIRE_CALL || record->answered >= record->expected || !record->delivered)
        return false;
    if (record->mode != MODE_NEVER)
        return false;
    return to_is_name(record->to) ? true
                                  : client_alive(w->clients[record->to]) && !w->clients[record->to]->monitor;
}

static bool arrived(const struct world *w, const struct record *record)
{
    if (record->to == TO_ALL && record->type == WIRE_SIGNAL)
        return spread(w, record);
    if (record->expected > 0)
        return record->answered == record->expected || is_open(w, record);
    if (record->to >= TO_NAME) /* the owner may have disconnected with the message queued */
        return true;
    const struct client *to = w->clients[record->to];
    return record->delivered > 0 || record->refused > 0 || !in_step(to);
}

static bool all_arrived(const struct world *w, const struct client *c, const struct records *records,
                        char why[AUDIT_TEXT])
{
    for (uint32_t i = 0; i < records->n; i++) {
        const struct record *r = &records->at[i];
        if (arrived(w, r))
            continue;
        const struct client *to = r->to < TO_NAME ? w->clients[r->to] : NULL;
        snprintf(
            why, AUDIT_TEXT,
            "message %u%s of %s (client %u, type %u, flags %u, mode %u, %u descriptors, to %x, slots %llx) "
            "has not arrived: delivered %u, refused %u, answered %u of %u; the receiver is %s, state "
            "%d%s%s%s; way %u",
            i + 1, records == &c->reactions ? " (a reaction)" : "", c->unique, c->id, r->type, r->flags,
            r->mode, r->n_fds, r->to, (unsigned long long)r->must, r->delivered, r->refused, r->answered,
            r->expected, to ? to->unique : "none", to ? (int)to->state : 0,
            to && to->monitor ? " monitor" : "", to && to->wild ? " wild" : "", to && to->shut ? " shut" : "",
            c->way);
        return false;
    }
    return true;
}

bool audit_messages(struct world *w, char why[AUDIT_TEXT])
{
    for (uint32_t i = 0; i < w->n_clients; i++) {
        const struct client *c = w->clients[i];
        if (in_step(c) && (!all_arrived(w, c, &c->planned, why) || !all_arrived(w, c, &c->reactions, why)))
            return false;
    }
    return true;
}

static uint32_t open_calls(const struct world *w, const struct client *c)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->planned.n; i++)
        n += is_open(w, &c->planned.at[i]);
    return n;
}

static bool is(const struct world *w, const struct client *c, const char *key, uint64_t wanted, char *why)
{
    uint64_t value = control_value(w, key);
    snprintf(why, AUDIT_TEXT, "the bus says of %s (client %u) that %s is %llu, and it is %llu", c->unique,
             c->id, key, (unsigned long long)value, (unsigned long long)wanted);
    return value == wanted;
}

/* Rules about a unique name are removed with its owner, if they existed before. */
static bool audit_rules(const struct world *w, const struct client *c, char *why)
{
    uint64_t most = c->rules.added, least = most, value = control_value(w, "MatchRules");
    for (uint32_t i = 0; i < c->rules.n; i++) {
        const struct rule *rule = &c->rules.at[i];
        const struct client *about = w->clients[rule->kind == RULE_SENDER ? rule->number : c->id];
        if (!client_alive(about) || about->monitor || about->wild)
            least -= rule->added;
    }
    snprintf(why, AUDIT_TEXT,
             "the bus says of %s (client %u) that it has %llu match rules, and it has %llu to %llu",
             c->unique, c->id, (unsigned long long)value, (unsigned long long)least,
             (unsigned long long)most);
    return value >= least && value <= most;
}

/* An eavesdropper also receives this call. */
static bool audit_client(struct world *w, struct client *c, char why[AUDIT_TEXT])
{
    snprintf(why, AUDIT_TEXT, "the bus does not know %s", c->unique);
    if (!control_ask(w, c->unique))
        return false;
    return is(w, c, "omnibus.MessagesReceived", c->n_sent, why) &&
           (c->promiscuous || is(w, c, "omnibus.MessagesSent", c->n_received, why)) &&
           is(w, c, "IncomingMessages", 0, why) && is(w, c, "IncomingBytes", 0, why) &&
           is(w, c, "IncomingFDs", 0, why) && is(w, c, "OutgoingMessages", 0, why) &&
           is(w, c, "OutgoingBytes", 0, why) && is(w, c, "OutgoingFDs", 0, why) &&
           is(w, c, "omnibus.MessagesParked", 0, why) && audit_rules(w, c, why) &&
           (w->settings.reply_timeout || is(w, c, "omnibus.PendingReplies", open_calls(w, c), why));
}

/* By the signals that each client received, and by those sent to all. */
static bool audit_owners(const struct world *w, char why[AUDIT_TEXT])
{
    for (uint32_t name = 0; name < NAMES; name++) {
        const struct client *owner = world_find(w, control_owner(name));
        for (uint32_t i = 0; i < w->n_clients; i++) {
            const struct client *c = w->clients[i];
            snprintf(why, AUDIT_TEXT, "client %u (%s) %s name %u, and NameOwnerChanged says that %s owns it",
                     i, c->unique, c->owns[name] ? "owns" : "doesn't own", name, control_owner(name));
            if (in_step(c) && c->owns[name] != (c == owner))
                return false;
        }
    }
    return true;
}

bool audit_statistics(struct world *w, char why[AUDIT_TEXT])
{
    for (uint32_t i = 0; i < w->n_clients; i++)
        if (in_step(w->clients[i]) && !audit_client(w, w->clients[i], why))
            return false;
    return audit_all_rules(w, why) && (control_missed(w) || audit_owners(w, why));
}
