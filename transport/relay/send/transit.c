/* SPDX-License-Identifier: MIT */
#include "send/transit.h"

#include "send/output.h"

/*
 * Memory for a whole message: from the batch or, if that is full, on the heap as the copy that may be kept.
 */
static uint8_t *head_memory(struct transit *t, size_t size)
{
    uint8_t *memory = batch_stamped(&t->bus->batch, size);
    if (memory)
        return memory;
    struct outgoing *kept = outgoing_new(size, t->out->uid, t->fds);
    if (!kept)
        return NULL;
    if (t->out->payer)
        outgoing_charge(kept, t->out->payer);
    t->out->kept = kept;
    return (uint8_t *)(kept + 1);
}

/* Copies a message of the bus itself, whose buffer is reused at once. */
static bool copy_whole(struct transit *t)
{
    uint8_t *to = head_memory(t, t->m->size);
    if (!to)
        return false;
    memcpy(to, t->m->data, t->m->size);
    t->out->head = to;
    t->out->head_size = t->m->size;
    return true;
}

/*
 * Inserts SENDER in front of the other fields. A small message is copied, a long one is referred to in place.
 */
static bool stitch(struct transit *t)
{
    const struct message *m = t->m;
    uint8_t prefix[MESSAGE_MAX_STAMP_PREFIX];
    uint32_t n = message_stamp_prefix(m, peer_name(t->sender), prefix);
    uint32_t rest = m->size - MESSAGE_FIXED_SIZE;
    bool small = rest <= BATCH_SMALL - sizeof(prefix);
    uint8_t *to = small ? NULL : batch_stamped(&t->bus->batch, n);
    bool stays = to != NULL;
    if (!stays && !(to = head_memory(t, (size_t)n + rest)))
        return false;
    memcpy(to, prefix, n);
    t->out->head = to;
    t->out->head_size = n + (stays ? 0 : rest);
    if (!stays) {
        memcpy(to + n, m->data + MESSAGE_FIXED_SIZE, rest);
    } else {
        t->out->rest = m->data + MESSAGE_FIXED_SIZE;
        t->out->rest_size = rest;
        t->out->buffer = buffer_ref(t->bus->parsed);
    }
    return true;
}

/* Rewrites a header with a SENDER or with unknown fields, without them. instance: of CONTAINER_INSTANCE. */
static bool transit_rewrite(struct transit *t, struct span instance)
{
    const struct message *m = t->m;
    struct span sender = t->sender ? peer_name(t->sender) : m->sender;
    size_t size = (size_t)message_stamp_instance(m, sender, instance, NULL) + m->body_size;
    uint8_t *to = size <= MESSAGE_MAX_SIZE + 512u ? head_memory(t, size) : NULL;
    if (!to)
        return false;
    uint32_t n = message_stamp_instance(m, sender, instance, to);
    memcpy(to + n, m->data + m->body_offset, m->body_size);
    t->out->head = to;
    t->out->head_size = n + m->body_size;
    if (t->out->kept)
        t->out->kept->head_size = t->out->head_size;
    return true;
}

/* Begins the outgoing form. False: no memory. */
static inline bool transit_begin(struct transit *t)
{
    struct outgoing *out = batch_outgoing(&t->bus->batch);
    if (!out)
        return false;
    out->fds = fds_ref(t->fds);
    struct account *payer = t->payer ? t->payer : t->sender ? t->sender->account : NULL;
    out->payer = payer ? account_ref(payer) : NULL;
    out->uid = t->sender ? t->sender->credentials.uid : UINT32_MAX;
    t->out = out;
    return true;
}

static bool transit_prepare(struct transit *t)
{
    if (t->out)
        return true;
    if (!transit_begin(t))
        return false;
    bool made = !t->sender ? copy_whole(t) : t->m->rewrite ? transit_rewrite(t, (struct span){0}) : stitch(t);
    if (!made)
        t->out = NULL;
    return made;
}

/* Delivers a form of its own, with CONTAINER_INSTANCE. False: no memory. Apart from the way of others. */
__attribute__((cold, noinline)) static bool deliver_with_instance(const struct transit *t, struct peer *to)
{
    struct transit own = *t;
    const char *instance = t->sender ? t->sender->credentials.instance : NULL;
    if (!transit_begin(&own) || !transit_rewrite(&own, instance ? span_of(instance) : SPAN("/")))
        return false;
    output_add(t->bus, to, own.out);
    return true;
}

bool transit_deliver(struct transit *t, struct peer *to)
{
    if (to->names_instances)
        return deliver_with_instance(t, to);
    if (!transit_prepare(t))
        return false;
    output_add(t->bus, to, t->out);
    return true;
}

static bool owns(const void *names, const void *peer, struct span name)
{
    return name_owner(registry_find(names, name)) == peer;
}

/* True if the peer owns too many names to list. */
static bool has_many(struct match_subject *subject, const struct bus *bus, const struct peer *peer)
{
    subject->names = &bus->registry;
    subject->owns = owns;
    return peer->names.n_claims > TRANSIT_NAMES_MAX;
}

void transit_subject_from(struct match_subject *subject, const struct bus *bus, struct peer *sender)
{
    if (!has_many(subject, bus, sender)) {
        subject->sender_names = registry_names(sender, &subject->n_sender_names);
        return;
    }
    subject->sender_names = &sender->unique;
    subject->n_sender_names = 1;
    subject->sender = sender;
}

void transit_subject_to(struct match_subject *subject, const struct bus *bus, struct peer *recipient)
{
    if (!has_many(subject, bus, recipient)) {
        subject->recipient_names = registry_names(recipient, &subject->n_recipient_names);
        return;
    }
    subject->recipient_names = &recipient->unique;
    subject->n_recipient_names = 1;
    subject->recipient = recipient;
}
