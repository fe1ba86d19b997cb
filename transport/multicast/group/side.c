/* SPDX-License-Identifier: MIT */
#include "group/group_peer.h"
#include "send/mediate.h"

#include <stdlib.h>

/*
 * Parties: connections that the policy, trust and SELinux do not tell apart. They are numbered as they come,
 * and anew after a change of either policy.
 */

struct subject subject_of(const struct bus *bus, const struct peer *peer)
{
    return (struct subject){peer->credentials.uid, mediate_context(bus, peer)};
}

static bool group_trusts(const struct group *group, uint32_t sender_uid, uint32_t recipient_uid)
{
    if (group->trust_everybody || sender_uid == 0)
        return true;
    return sender_uid == recipient_uid && sender_uid != UINT32_MAX;
}

bool subject_may_send(const struct bus *bus, const struct subject *sender, const struct subject *recipient)
{
    return group_trusts(bus->group, sender->uid, recipient->uid) &&
           mediate_passes(bus, sender->context, recipient->context);
}

static bool side_is(const struct side *side, const struct policy_party *party, const struct subject *subject)
{
    return side->identity == party->identity && side->role == party->role &&
           side->subject.uid == subject->uid && span_equal(side->subject.context, subject->context);
}

static bool side_make(struct side *side, const struct policy_party *party, struct subject subject)
{
    char *context = NULL;
    if (subject.context.s) {
        context = malloc((size_t)subject.context.n + 1);
        if (!context)
            return false;
        memcpy(context, subject.context.s, subject.context.n);
        subject.context.s = context;
    }
    *side =
        (struct side){.identity = party->identity, .role = party->role, .subject = subject, .text = context};
    return true;
}

uint32_t side_find(struct bus *bus, struct peer *peer, bool *added)
{
    struct group *group = bus->group;
    struct policy_party party;
    if (!peer_party(peer, bus->policy, &party))
        return GROUP_NO_SIDE;
    const struct subject subject = subject_of(bus, peer);
    for (uint32_t i = 0; i < group->n_sides; i++) {
        if (side_is(&group->sides[i], &party, &subject))
            return i;
    }
    if (group->n_sides == GROUP_SIDES || !side_make(&group->sides[group->n_sides], &party, subject))
        return GROUP_NO_SIDE;
    *added = true;
    return group->n_sides++;
}

void sides_end(struct group *group)
{
    for (uint32_t i = 0; i < group->n_sides; i++)
        free(group->sides[i].text);
    group->n_sides = 0;
}
