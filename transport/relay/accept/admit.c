/* SPDX-License-Identifier: MIT */
#include "accept/admit.h"

#include "accept/incomplete.h"
#include "state/inbox.h"

#include <stdlib.h>
#include <sys/epoll.h>

#define LOGIND_USERS "/run/systemd/users"
#define LOGINFO_SIZE 5120u /* enough for a label of any length */

bool admit_at_console(const struct bus *bus, uint32_t uid)
{
    return bus->policy->asks_console && relay_at_console(LOGIND_USERS, uid);
}

/* False: no memory. */
static bool admit_identify(struct bus *bus, const struct admission *a, const struct relay_identity *identity,
                           const uint32_t *gids, uint32_t n_gids)
{
    char loginfo[LOGINFO_SIZE];
    peer_creds_describe(identity, loginfo, sizeof(loginfo));
    const struct relay_credentials credentials = {.uid = identity->uid,
                                                  .pid = identity->pid,
                                                  .gids = gids,
                                                  .n_gids = n_gids,
                                                  .at_console = admit_at_console(bus, identity->uid),
                                                  .fd_passing = a->fd_passing,
                                                  .privileged =
                                                      identity->uid == 0 || identity->uid == bus->owner,
                                                  .label_size = identity->label_size,
                                                  .label = identity->label,
                                                  .loginfo = loginfo};
    uint64_t id = bus->n_ids++;
    if (!peer_identify(a->peer, id, a->fd, &credentials))
        return false;
    struct relay_event *arrival = &a->peer->reports.arrival.view;
    arrival->kind = RELAY_EVENT_ADMITTED;
    arrival->peer = id;
    arrival->credentials = &a->peer->credentials;
    a->peer->admitted = true;
    return true;
}

enum admitted admit_connection(struct bus *bus, const struct admission *a)
{
    struct relay_identity identity;
    peer_creds_more(a->fd, &a->user, &identity);
    if (identity.n_gids < 0)
        return ADMIT_UNKNOWN;
    uint32_t gids[1 + sizeof(identity.gids) / sizeof(*identity.gids)];
    uint32_t n_gids = peer_creds_groups(&identity, gids);
    if (!policy_can_connect(bus->policy, identity.uid, gids, n_gids, bus->owner))
        return ADMIT_REFUSED;
    struct peer *peer = a->peer;
    if (!admit_identify(bus, a, &identity, gids, n_gids))
        return ADMIT_REFUSED;
    peer->listener = a->listener;
    peer->input.readable = a->unread;
    peer->handshake = NULL;
    if (inbox_begin(peer, a->leftover, a->size, a->fds, a->n_fds) == 0) {
        bus_attach(bus, peer, a->watched);
    } else {
        incomplete_remove(bus, &peer->incomplete);
        epoll_ctl(bus->epoll, EPOLL_CTL_DEL, peer->fd, NULL);
        peer_free(peer);
    }
    return ADMIT_DONE;
}
