// SPDX-License-Identifier: GPL-2.0
/*
 * What senders may still be using is freed when all who may have found it have
 * left: only a kernel thread waits for them.  A sender that is throttled
 * keeps memory, which its user's limits count, but it stops no call.
 */

#include <linux/completion.h>
#include <linux/jiffies.h>
#include <linux/workqueue.h>

#include "umc.h"

/* Jiffies: waiting costs more than what a change leaves behind; of many it is freed together. */
#define UMC_REAP_TIME	(HZ / 50)

DEFINE_SRCU(umc_srcu);
static LLIST_HEAD(umc_garbage);

struct umc_grace {
	struct rcu_head rcu;
	struct completion over;
};

static void umc_grace_over(struct rcu_head *rcu)
{
	complete(&container_of(rcu, struct umc_grace, rcu)->over);
}

/*
 * Waits until all senders have left that are inside now.  Not by synchronize_srcu(),
 * which is expedited if there was no other grace period just before: a CPU
 * would spin until a sender that is not running has left, in its place even.
 */
static void umc_wait_for_senders(void)
{
	struct umc_grace grace;

	init_completion(&grace.over);
	init_rcu_head_on_stack(&grace.rcu);
	call_srcu(&umc_srcu, &grace.rcu, umc_grace_over);
	wait_for_completion(&grace.over);
	destroy_rcu_head_on_stack(&grace.rcu);
}

static void umc_reap_work(struct work_struct *unused)
{
	struct llist_node *node = llist_del_all(&umc_garbage);
	struct umc_garbage *garbage, *next;

	umc_wait_for_senders();
	/* Those who look something up without sending. */
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
	/* umc_grace_over() has returned. */
	srcu_barrier(&umc_srcu);
}
