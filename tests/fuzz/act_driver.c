/* SPDX-License-Identifier: MIT */
#include "plan.h"
#include "send.h"

#define BUS "org.freedesktop.DBus"

/* Calls that change nothing. */
static const struct {
    const char *interface, *member, *signature;
} questions[] = {
    {NULL, "GetId", ""},
    {NULL, "ListNames", ""},
    {NULL, "GetNameOwner", "s"},
    {NULL, "NameHasOwner", "s"},
    {BUS ".Peer", "Ping", ""},
    {NULL, "ListQueuedOwners", "s"},
    {NULL, "ListActivatableNames", ""},
    {NULL, "GetConnectionUnixUser", "s"},
    {NULL, "GetConnectionUnixProcessID", "s"},
    {NULL, "GetConnectionCredentials", "s"},
    {NULL, "NoSuchMethod", ""},
    {BUS ".Introspectable", "Introspect", ""},
    {BUS ".Debug.Stats", "GetAllMatchRules", ""},
    {BUS ".Debug.Stats", "GetStats", ""},
    {"org.omnibus.Inspect1", "GetStatus", ""},
    {"org.omnibus.Inspect1", "ListQueues", ""},
    {"org.omnibus.Inspect1", "ListStarts", ""},
    {"org.omnibus.Inspect1", "GetPolicy", ""},
    {"org.omnibus.Inspect1", "Group", ""},
    {BUS ".Containers1", "GetConnectionInstance", "s"},
    {"org.omnibus.Metadata1", "GetMetadata", "s"},
    {"org.omnibus.Metadata1", "GetMetadata", "s"},
    {NULL, "AddMatch", ""},
    {NULL, "StartServiceByName", "su"},
};
#define QUESTIONS (sizeof(questions) / sizeof(*questions))

static void ask(struct world *w, struct client *c, uint32_t which, uint32_t name, uint8_t flags)
{
    struct bytes body = {0};
    char text[NAME_TEXT];
    plan_note(w, c->id, which | (uint32_t)flags << 16, name);
    name_text(name, text);
    if (questions[which].signature[0] == 's')
        wire_put_string(&body, false, text);
    if (questions[which].signature[0] && questions[which].signature[1] == 'u')
        wire_put_u32(&body, false, 0);
    send_driver(w, c, questions[which].interface, questions[which].member,
                questions[which].signature[0] ? questions[which].signature : NULL, &body, flags);
    bytes_free(&body);
}

void act_driver(struct world *w, struct prng *p)
{
    struct client *c = plan_client(w);
    uint32_t which = prng_below(p, QUESTIONS), name = prng_below(p, NAMES_SHARED + NAMES_SERVICES);
    if (name >= NAMES_SHARED && !w->settings.services)
        name = 0;
    if (c)
        ask(w, c, which, name, prng_one_in(p, 6) ? WIRE_NO_REPLY : 0);
}

/* Calls that the data plane answers: the client's queue fills as fast as it can call. */
void act_driver_flood(struct world *w, struct prng *p)
{
    struct client *c = plan_client(w);
    uint32_t bits = prng_between(p, 4, plan_flood_bits), n = (1u << bits) + prng_below(p, 1u << bits);
    uint32_t which = prng_below(p, 5), name = prng_below(p, NAMES_SHARED);
    for (uint32_t i = 0; i < n && c; i++) {
        ask(w, c, which, name, 0);
        if (i % 256 == 255)
            pump(w, 0);
    }
}

/* The rule's text; false: it needs a client without a unique name so far. */
static bool rule_text(struct world *w, enum rule_kind kind, uint32_t n, char text[RULE_TEXT])
{
    static const char *const forms[RULE_KINDS] = {
        [RULE_MEMBER] = "type='signal',member='M%u'",
        [RULE_INTERFACE] = "type='signal',interface='fuzz.I%u'",
        [RULE_NAMESPACE] = "type='signal',path_namespace='/fuzz/t%u'",
        [RULE_PATH] = "type='signal',path='/fuzz/t%u/x%u'",
        [RULE_ARG0] = "type='signal',arg0='fuzz.a%u.b'",
        [RULE_ARG0_NAMESPACE] = "type='signal',arg0namespace='fuzz.a%u'",
        [RULE_ARG0_PATH] = "type='signal',arg0path='/fuzz/a%u/'",
        [RULE_SENDER] = "type='signal',sender='%s'",
        [RULE_OWNER] = "type='signal',sender='fuzz.own.c%u'",
        [RULE_ALL] = "type='signal'",
        [RULE_EAVESDROP] = "eavesdrop='true'",
    };
    if (kind == RULE_SENDER) {
        snprintf(text, RULE_TEXT, forms[kind], w->clients[n]->unique);
        return w->clients[n]->unique[0] != 0;
    }
    if (kind == RULE_PATH)
        snprintf(text, RULE_TEXT, forms[kind], n % 4, n);
    else if (kind == RULE_ARG0 && n % 2 == 0)
        snprintf(text, RULE_TEXT, "type='signal',arg0='/fuzz/a%u/b'", n);
    else
        snprintf(text, RULE_TEXT, forms[kind], n);
    return true;
}

static uint32_t pick_number(struct world *w, struct prng *p, enum rule_kind kind)
{
    uint32_t n = prng_below(p, TOPICS), any = prng_below(p, w->n_clients), slot = prng_below(p, plan_n_slots);
    switch (kind) {
    case RULE_INTERFACE:
        return n % 3;
    case RULE_NAMESPACE:
        return n % 4;
    case RULE_SENDER:
        return any;
    case RULE_OWNER:
        return slot;
    case RULE_ALL:
    case RULE_EAVESDROP:
        return 0;
    default:
        return n;
    }
}

void act_add_rule(struct world *w, struct prng *p)
{
    struct client *c = plan_client(w);
    enum rule_kind kind = (enum rule_kind)prng_below(p, RULE_KINDS - 1);
    bool eavesdrop = prng_one_in(p, 40);
    char text[RULE_TEXT];
    struct bytes body = {0};
    if (eavesdrop)
        kind = RULE_EAVESDROP;
    uint32_t number = pick_number(w, p, kind);
    if (!c)
        return;
    plan_note(w, c->id, kind, number);
    if (!client_alive(c) || c->monitor || !rule_text(w, kind, number, text))
        return;
    struct rule *rule = rules_enter(&c->rules, kind, number, text);
    if (!rule)
        return;
    rule->adding++;
    if (eavesdrop)
        c->promiscuous = true; /* because the bus may allow it */
    wire_put_string(&body, false, text);
    struct record *record = send_driver(w, c, NULL, "AddMatch", "s", &body, 0);
    record->verb = VERB_ADD_RULE;
    record->argument = (uint32_t)(rule - c->rules.at);
    bytes_free(&body);
}

/* Removes a rule that the client has, or had. */
void act_remove_rule(struct world *w, struct prng *p)
{
    struct client *c = plan_client(w);
    uint32_t which = prng_below(p, RULES_MAX);
    struct bytes body = {0};
    if (!c)
        return;
    plan_note(w, c->id, which, 0);
    if (!client_alive(c) || c->monitor || c->rules.n == 0)
        return;
    struct rule *rule = &c->rules.at[which % c->rules.n];
    c->rules.removed = true;
    rule->removing++;
    wire_put_string(&body, false, rule->text);
    struct record *record = send_driver(w, c, NULL, "RemoveMatch", "s", &body, 0);
    record->verb = VERB_REMOVE_RULE;
    record->argument = (uint32_t)(rule - c->rules.at);
    bytes_free(&body);
}

/* A shared name, or that of the client's slot. */
static void name_call(struct world *w, struct prng *p, const char *member, bool request)
{
    struct client *c = plan_client(w);
    uint32_t shared = prng_below(p, NAMES_SHARED), flags = prng_below(p, 8);
    bool own = prng_one_in(p, 2);
    struct bytes body = {0};
    char text[NAME_TEXT];
    if (!c)
        return;
    uint32_t name = own ? name_of_slot(c->slot) : shared;
    plan_note(w, c->id, name, flags);
    if (!client_alive(c) || c->monitor)
        return;
    name_text(name, text);
    wire_put_string(&body, false, text);
    if (request)
        wire_put_u32(&body, false, flags);
    c->asked[name] |= request;
    send_driver(w, c, NULL, member, request ? "su" : "s", &body, 0)->verb =
        request ? VERB_REQUEST : VERB_RELEASE;
    bytes_free(&body);
}

void act_request_name(struct world *w, struct prng *p)
{
    name_call(w, p, "RequestName", true);
}

void act_release_name(struct world *w, struct prng *p)
{
    name_call(w, p, "ReleaseName", false);
}

/* From then on the client may see everything, and sends nothing. */
void act_monitor(struct world *w, struct prng *p)
{
    struct client *c = plan_client(w);
    struct bytes body = {0};
    (void)p;
    if (!c || c->uid != 0)
        return;
    plan_slots[c->slot].taken = false;
    plan_note(w, c->id, 0, 0);
    if (!client_alive(c) || c->state != CLIENT_ACTIVE || c->monitor || c->wild)
        return;
    wire_put_u32(&body, false, 0);
    wire_put_u32(&body, false, 0);
    send_driver(w, c, BUS ".Monitoring", "BecomeMonitor", "asu", &body, 0)->verb = VERB_MONITOR;
    c->monitor = c->promiscuous = w->watched = true;
    bytes_free(&body);
}
