// SPDX-License-Identifier: GPL-2.0
/*
 * What senders may still be using is freed when all who may have found it have
 * left: only a kernel thread waits for them.  A sender that is throttled
 * keeps memory, which its user's limits count, but it stops no call.
 */

#include <linux/jiffies.h>
#include <linux/workqueue.h>

#include "umc.h"

/* Jiffies: waiting costs more than what a change leaves behind; of many it is freed together. */
#define UMC_REAP_TIME	(HZ / 50)

DEFINE_SRCU(umc_srcu);
static LLIST_HEAD(umc_garbage);

static void umc_reap_work(struct work_struct *unused)
{
	struct llist_node *node = llist_del_all(&umc_garbage);
	struct umc_garbage *garbage, *next;

	/* Senders, and those who look something up without sending. */
	synchronize_srcu(&umc_srcu);
	synchronize_rcu();
	llist_for_each_entry_safe(garbage, next, node, node)
		garbage->free(garbage);
}

static DECLARE_DELAYED_WORK(umc_reaper, umc_reap_work);

void umc_reap(struct umc_garbage *garbage, void (*free)(struct umc_garbage *garbage))
{
	garbage->free = free;
	if (llist_add(&garbage->node, &umc_garbage))
		schedule_delayed_work(&umc_reaper, UMC_REAP_TIME);
}

/* The module is being unloaded; what is freed puts nothing new here. */
void umc_reap_all(void)
{
	flush_delayed_work(&umc_reaper);
}
