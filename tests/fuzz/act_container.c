/* SPDX-License-Identifier: MIT */
#include "plan.h"
#include "send.h"

#define CONTAINERS "org.freedesktop.DBus.Containers1"

/* An a{sv} with one string, or with nothing. */
static void put_metadata(struct bytes *to, const char *value)
{
    static const uint8_t signature[3] = {1, 's', 0};
    struct bytes entry = {0};
    if (value) {
        wire_put_string(&entry, false, "fuzz");
        bytes_add(&entry, signature, sizeof(signature));
        wire_put_string(&entry, false, value);
    }
    wire_put_u32(to, false, (uint32_t)entry.size);
    bytes_align(to, 8);
    bytes_add(to, entry.data, entry.size);
    bytes_free(&entry);
}

void act_add_server(struct world *w, struct prng *p)
{
    struct client *c = plan_client(w);
    struct bytes body = {0};
    char name[16];
    uint32_t number = prng_below(p, 1000);
    bool is_wrong = prng_one_in(p, 8), has_metadata = prng_one_in(p, 2), is_argued = prng_one_in(p, 16);
    if (!c)
        return;
    plan_note(w, c->id, number, is_wrong | (uint32_t)has_metadata << 1 | (uint32_t)is_argued << 2);
    plan_slots[c->slot].serves |= !is_wrong && !is_argued;
    if (!w->settings.containers || !client_alive(c) || c->monitor)
        return;
    snprintf(name, sizeof(name), "box %u", number);
    wire_put_string(&body, false, is_wrong ? "no interface" : "fuzz.Box");
    wire_put_string(&body, false, name);
    put_metadata(&body, has_metadata ? name : NULL);
    put_metadata(&body, is_argued ? name : NULL);
    send_driver(w, c, CONTAINERS, "AddServer", "ssa{sv}a{sv}", &body, 0)->verb = VERB_ADD_SERVER;
    bytes_free(&body);
}

/* What a client says of itself, which the policy may refuse, or which is too long. */
void act_metadata(struct world *w, struct prng *p)
{
    struct client *c = plan_client(w);
    struct bytes body = {0};
    char text[5000];
    uint32_t n = prng_one_in(p, 4) ? prng_between(p, 4000, sizeof(text) - 1) : prng_below(p, 100);
    if (!c)
        return;
    plan_note(w, c->id, n, 0);
    if (!client_alive(c) || c->monitor)
        return;
    memset(text, 'x', n);
    text[n] = 0;
    put_metadata(&body, n ? text : NULL);
    send_driver(w, c, "org.omnibus.Metadata1", "SetMetadata", "a{sv}", &body, 0);
    bytes_free(&body);
}

/* That of another client, perhaps of another user; its connections may go with it. */
void act_stop_server(struct world *w, struct prng *p)
{
    static const char *const members[3] = {"StopListening", "StopInstance", "GetInstanceInfo"};
    struct client *c = plan_client(w), *manager = plan_manager(w);
    struct bytes body = {0};
    uint32_t which = prng_below(p, 3);
    if (!c || !manager)
        return;
    plan_note(w, c->id, manager->id, which);
    if (!w->settings.containers || !client_alive(c) || c->monitor)
        return;
    const char *instance = manager->server.instance;
    wire_put_string(&body, false, instance[0] ? instance : "/org/freedesktop/DBus/Containers1/c99999999");
    send_driver(w, c, CONTAINERS, members[which], "o", &body, 0);
    bytes_free(&body);
}

/* From the answer on the client gets the instance of each sender. */
void act_request_header(struct world *w, struct prng *p)
{
    struct client *c = plan_client(w);
    (void)p;
    if (!c)
        return;
    plan_note(w, c->id, 0, 0);
    if (!w->settings.containers || !client_alive(c) || c->monitor)
        return;
    if (c->header == HEADER_NONE)
        c->header = HEADER_REQUESTED;
    send_driver(w, c, CONTAINERS, "RequestHeader", NULL, NULL, 0)->verb = VERB_REQUEST_HEADER;
}
