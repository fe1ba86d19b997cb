/* SPDX-License-Identifier: MIT */
#include "state/peer.h"

#include "state/held.h"
#include "state/inbox.h"
#include "state/monitor_rules.h"
#include "state/registry.h"

#include <stdio.h>
#include <unistd.h>

#define LOGINFO_SIZE 512u

/* The text becomes part of error messages, which have to be UTF-8: other than printable ASCII becomes '?'. */
static char *loginfo_new(const char *text)
{
    char *copy = strndup(text ? text : "", LOGINFO_SIZE);
    for (char *at = copy; at && *at; at++) {
        if (*at < ' ' || *at > '~')
            *at = '?';
    }
    return copy;
}

static void *peer_copy(const void *from, size_t size)
{
    void *to = malloc(size + 1);
    return to && size ? memcpy(to, from, size) : to;
}

static bool peer_set_credentials(struct peer *peer, const struct relay_credentials *credentials)
{
    struct relay_credentials *own = &peer->credentials;
    *own = *credentials;
    own->gids = peer_copy(credentials->gids, credentials->n_gids * sizeof(*own->gids));
    own->label = peer_copy(credentials->label, credentials->label_size);
    own->loginfo = loginfo_new(credentials->loginfo);
    own->instance = credentials->instance ? strdup(credentials->instance) : NULL;
    return own->gids && own->label && own->loginfo && (own->instance || !credentials->instance);
}

struct peer *peer_begin(void)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    if (!peer)
        return NULL;
    peer->source.kind = SOURCE_PEER;
    peer->fd = -1;
    peer->input.read_size = INBOX_READ_SHORT;
    list_init(&peer->names.entries);
    list_init(&peer->calls.made);
    list_init(&peer->calls.owed);
    list_init(&peer->calls.parked);
    return peer;
}

bool peer_identify(struct peer *peer, uint64_t id, int fd, const struct relay_credentials *credentials)
{
    peer->account = account_new();
    if (!peer->account || !peer_set_credentials(peer, credentials))
        return false;
    peer->id = id;
    int n = snprintf(peer->unique_text, sizeof(peer->unique_text), ":1.%llu", (unsigned long long)id);
    peer->unique = (struct span){peer->unique_text, (uint32_t)n};
    peer->fd = fd;
    return true;
}

struct peer *peer_new(uint64_t id, int fd, const struct relay_credentials *credentials)
{
    struct peer *peer = peer_begin();
    if (peer && !peer_identify(peer, id, fd, credentials)) {
        peer_free(peer);
        return NULL;
    }
    return peer;
}

uint64_t peer_waiting_bytes(const struct peer *peer)
{
    uint64_t fds = peer->input.n_fds ? memory_cost(peer->input.n_fds * sizeof(*peer->input.fds)) : 0;
    return peer->account->bytes + buffer_cost(peer->input.tail) + fds;
}

void peer_end_call(struct peer *peer)
{
    held_free(peer->calls.held);
    peer->calls.held = NULL;
    peer->reports.call.view.current = false;
}

void peer_end(struct peer *peer)
{
    if (peer->fd >= 0)
        close(peer->fd);
    inbox_drop(peer);
    peer_end_call(peer);
    monitor_free(peer->monitor);
    account_unref(peer->account);
    free(peer->input.fds);
    free(peer->names.known);
    peer->fd = -1;
    peer->monitor = NULL;
    peer->account = NULL;
    peer->input.fds = NULL;
    peer->names.known = NULL;
}

void peer_free(struct peer *peer)
{
    if (!peer)
        return;
    peer_end(peer);
    free((void *)peer->credentials.gids);
    free((void *)peer->credentials.label);
    free((void *)peer->credentials.loginfo);
    free((void *)peer->credentials.instance);
    free(peer);
}

static bool identify(struct peer *peer, struct policy *policy)
{
    if (peer->policy.identified == policy->generation)
        return true;
    const struct relay_credentials *who = &peer->credentials;
    peer->policy.identity = policy_rule_set(policy, who->uid, who->gids, who->n_gids, who->at_console);
    if (peer->policy.identity)
        peer->policy.identified = policy->generation;
    return peer->policy.identity != NULL;
}

static const struct role *role_of(const struct peer *peer, struct policy *policy)
{
    policy_role_begin(policy);
    policy_role_add(policy, peer->unique);
    LIST_FOR (at, &peer->names.entries)
        policy_role_add(policy, name_span(CONTAINER_OF(at, struct queue_entry, in_peer)->name));
    return policy_role(policy);
}

bool peer_look_up_policy(struct peer *peer, struct policy *policy)
{
    peer->policy.role = role_of(peer, policy);
    if (!identify(peer, policy) || !peer->policy.role)
        return false;
    peer->policy.generation = policy->generation;
    return true;
}
