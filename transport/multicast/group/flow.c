/* SPDX-License-Identifier: MIT */
#include "group/group_peer.h"
#include "wire/wire.h"

#include <errno.h>
#include <stdlib.h>

static struct hash flow_hash(const struct group_peer *from, struct span destination, uint8_t type)
{
    const struct hash_key *key = &from->flow_table.key;
    return hash_next(key, hash_text(key, destination), type);
}

static struct span text_of(const struct message *m, enum flow_field field)
{
    switch (field) {
    case FLOW_PATH:
        return m->path;
    case FLOW_INTERFACE:
        return m->interface;
    case FLOW_MEMBER:
        return m->member;
    default:
        return m->error_name;
    }
}

static bool flow_covers(const struct flow *flow, const struct message *m)
{
    if (flow->type != m->type || !span_equal(flow->destination, m->destination))
        return false;
    for (enum flow_field i = 0; i < FLOW_FIELDS; i++) {
        if (flow->fields[i].s && !span_equal(flow->fields[i], text_of(m, i)))
            return false;
    }
    return true;
}

static struct flow *flow_find(const struct group_peer *from, const struct message *m)
{
    struct table_node *node = table_first(&from->flow_table, flow_hash(from, m->destination, m->type));
    for (; node; node = table_again(node)) {
        struct flow *flow = CONTAINER_OF(node, struct flow, node);
        if (flow_covers(flow, m))
            return flow;
    }
    return NULL;
}

static void flow_free(struct flow *flow)
{
    table_remove(&flow->from->flow_table, &flow->node);
    list_unlink(&flow->in_from);
    list_unlink(&flow->in_to);
    flow->from->n_flows--;
    free(flow);
}

void flows_drop_from(struct bus *bus, struct group_peer *gp)
{
    if (list_empty(&gp->flows))
        return;
    LIST_FOR_SAFE (at, after, &gp->flows)
        flow_free(CONTAINER_OF(at, struct flow, in_from));
    group_peer_ask_egress(bus, gp);
}

void flows_drop_to(struct bus *bus, struct group_peer *gp, struct span name)
{
    LIST_FOR_SAFE (at, after, &gp->arriving) {
        struct flow *flow = CONTAINER_OF(at, struct flow, in_to);
        struct group_peer *from = flow->from;
        if (name.s && !span_equal(flow->destination, name))
            continue;
        flow_free(flow);
        group_peer_ask_egress(bus, from);
        if (bus->group->failed)
            return; /* that dropped all flows */
    }
}

void flows_end_to(struct bus *bus, struct group_peer *gp)
{
    LIST_FOR_SAFE (at, after, &gp->arriving) {
        struct flow *flow = CONTAINER_OF(at, struct flow, in_to);
        group_peer_stale_egress(bus, flow->from);
        flow_free(flow);
    }
}

static struct span copy(char **to, struct span text)
{
    struct span copied = {*to, text.n};
    memcpy(*to, text.s, text.n);
    *to += text.n;
    return copied;
}

/* Creates a flow. fields: 1 << enum flow_field of each field that the policy depends on. */
static struct flow *flow_new(struct group_peer *from, struct group_peer *to, const struct message *m,
                             uint32_t fields)
{
    size_t size = m->destination.n;
    for (enum flow_field i = 0; i < FLOW_FIELDS; i++)
        size += fields & 1u << i ? text_of(m, i).n : 0;
    struct flow *flow = calloc(1, sizeof(*flow) + size);
    if (!flow)
        return NULL;
    char *at = flow->text;
    flow->from = from;
    flow->to = to;
    flow->type = m->type;
    flow->destination = copy(&at, m->destination);
    for (enum flow_field i = 0; i < FLOW_FIELDS; i++) {
        if (fields & 1u << i)
            flow->fields[i] = copy(&at, text_of(m, i));
    }
    return flow;
}

static bool has_fields(const struct message *m, uint32_t fields)
{
    for (enum flow_field i = 0; i < FLOW_FIELDS; i++) {
        if (fields & 1u << i && !text_of(m, i).s)
            return false;
    }
    return true;
}

_Static_assert(POLICY_FIELDS == 6, "each field of a message needs a flow field here");
/*
 * What else a class has is the same for all messages of a flow: one type, no descriptors, no broadcast, no
 * eavesdropping, and no reply but a requested one (group_learn).
 */
_Static_assert(sizeof(struct policy_class) == 6 * sizeof(uint32_t) && POLICY_BITS_END == 0x1000,
               "must a flow keep a new property, too?");

/* The fields that the policies of both parties depend on, as flow fields. */
static uint32_t looked_at(const struct policy *policy, const struct policy_party *sender,
                          const struct policy_party *recipient, uint8_t type)
{
    static const enum flow_field fields[POLICY_FIELDS] = {
        [POLICY_PATH] = FLOW_PATH,
        [POLICY_INTERFACE] = FLOW_INTERFACE,
        [POLICY_MEMBER] = FLOW_MEMBER,
        [POLICY_ERROR] = FLOW_ERROR_NAME,
    };
    uint32_t looked = policy_looks_at(policy, sender, recipient, type), found = 0;
    for (uint32_t i = POLICY_PATH; i < POLICY_FIELDS; i++)
        found |= looked & 1u << i ? 1u << fields[i] : 0;
    return found;
}

static void learn(const struct transit *t, struct group_peer *from, struct group_peer *to,
                  bool requested_reply)
{
    struct bus *bus = t->bus;
    const struct message *m = t->m;
    struct policy_party sender, recipient;
    struct policy_class class;
    if (!peer_party(t->sender, bus->policy, &sender) || !peer_party(to->peer, bus->policy, &recipient))
        return;
    policy_classify(bus->policy, m, &class);
    class.bits |= requested_reply ? POLICY_IS_REQUESTED : 0;
    uint32_t fields = looked_at(bus->policy, &sender, &recipient, m->type);
    /* a message to be logged has to pass through the relay */
    if (policy_outcome(bus->policy, &sender, &recipient, &class) != POLICY_ALLOWED || !has_fields(m, fields))
        return;
    if (from->n_flows >= GROUP_PEER_FLOWS)
        flows_drop_from(bus, from);
    struct flow *flow = bus->group->failed ? NULL : flow_new(from, to, m, fields);
    if (!flow)
        return;
    table_insert(&from->flow_table, &flow->node, flow_hash(from, flow->destination, flow->type));
    list_append(&from->flows, &flow->in_from);
    list_append(&to->arriving, &flow->in_to);
    from->n_flows++;
    from->calls |= m->type == MESSAGE_METHOD_CALL;
    group_peer_stale_egress(bus, from);
    group_peer_missed(bus, from);
}

/* The group peer that a connection is, its party known. NULL: none; it joins at the end of the wake-up. */
static struct group_peer *group_peer_of(struct bus *bus, struct peer *peer)
{
    if (!peer->group.gp)
        group_join(bus, peer);
    else
        group_peer_know_side(bus, peer->group.gp);
    return peer->group.gp;
}

/* The group passes requested replies by itself; the policy judges all others, so they are not learned. */
void group_learn(const struct transit *t, struct peer *to, bool requested_reply)
{
    const struct message *m = t->m;
    struct group_peer *from = t->sender ? group_peer_of(t->bus, t->sender) : NULL;
    if (t->sender)
        group_peer_of(t->bus, to);
    if (from && to->group.gp)
        from->vain = 0;
    if (!from || !to->group.gp || t->fds || m->size > FILTER_MAX_MESSAGE || m->big_endian != from->big_endian)
        return;
    bool is_reply = m->type == MESSAGE_METHOD_RETURN || m->type == MESSAGE_ERROR;
    if (is_reply != requested_reply || is_reply != (m->reply_serial != 0))
        return;
    struct group *group = t->bus->group;
    if (group->generation != t->bus->policy->generation)
        group_policy_changed(t->bus);
    const struct subject sender = subject_of(t->bus, t->sender), recipient = subject_of(t->bus, to);
    if (group->failed || !subject_may_send(t->bus, &sender, &recipient) ||
        naming_covers(group, from, to->group.gp, m->type))
        return;
    if (flow_find(from, m))
        group_peer_missed(t->bus, from);
    else
        learn(t, from, to->group.gp, requested_reply);
}

void group_learn_broadcast(const struct transit *t, struct peer *to)
{
    struct group_peer *from = t->sender ? group_peer_of(t->bus, t->sender) : NULL;
    if (t->sender && to)
        group_peer_of(t->bus, to);
    if (!from || from->big_endian != t->m->big_endian)
        return;
    if (!from->broadcasts) {
        from->broadcasts = true;
        if (!from->named)
            group_peer_stale_egress(t->bus, from);
    }
    if (!to) {
        group_peer_missed(t->bus, from);
        from->vain = t->bus->group->rest.has_ingress ? 0 : from->vain;
        group_missed(t->bus);
    }
    struct group_peer *receiver = to ? to->group.gp : NULL;
    if (receiver && receiver->quiet)
        group_peer_heard(t->bus, receiver);
    else if (receiver && from->side != GROUP_NO_SIDE && from->side >= receiver->sides_known)
        group_peer_stale_ingress(t->bus, receiver);
}

int egress_make(struct bus *bus, struct group_peer *gp, struct filter *filter)
{
    struct filter_flow *flows = calloc((size_t)gp->n_flows + 1, sizeof(*flows));
    if (!flows)
        return -ENOMEM;
    uint32_t n = 0;
    for (struct list *at = gp->flows.previous; at != &gp->flows; at = at->previous) {
        const struct flow *flow = CONTAINER_OF(at, struct flow, in_from);
        flows[n++] = (struct filter_flow){
            .destination = flow->destination,
            .index = flow->to->index,
            .types = (uint8_t)(1u << flow->type),
            .path = flow->fields[FLOW_PATH],
            .interface = flow->fields[FLOW_INTERFACE],
            .member = flow->fields[FLOW_MEMBER],
            .error_name = flow->fields[FLOW_ERROR_NAME],
        };
    }
    uint32_t limit = bus->limits.max_message_size;
    const struct filter_egress egress = {
        .big_endian = gp->big_endian,
        .broadcasts = gp->broadcasts && gp->big_endian == WIRE_HOST_BIG_ENDIAN,
        .max_size = limit < FILTER_MAX_MESSAGE ? limit : FILTER_MAX_MESSAGE,
        .flows = flows,
        .n_flows = n,
    };
    int error = filter_compile_egress(&egress, filter);
    free(flows);
    return error;
}
