/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_CLAIM_H
#define OMNIBUS_CLAIM_H

#include "state/bus.h"

/* Changes of names without the control plane's having answered one call; so many more it may have to learn.
 */
#define CLAIM_UNTOLD_MAX 1024u

/*
 * RequestName and ReleaseName where nobody else has to do with the name, so that there is one answer to them;
 * the control plane is told. False: it has to answer.
 *
 * This can't contradict it. It changes a queue only for a call, during which nothing is answered here, or for
 * a connection that is lost, which has its names until then; and it learns of what happened here before all
 * else that happens later.
 */
bool claim_name(struct bus *bus, struct peer *sender, const struct message *m, struct span name);
bool claim_release(struct bus *bus, struct peer *sender, const struct message *m, struct span name);

#endif
