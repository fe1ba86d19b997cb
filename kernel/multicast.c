// SPDX-License-Identifier: GPL-2.0
/* One message to all members with a matching ingress filter: all of them, or ask. */

#include <linux/sched.h>

#include "umc.h"

/* What runs under multicast is bounded, whether it is compiled or not. */
bool umc_afford(const struct umc_group *group, const struct umc_chain *chain, u32 *work)
{
	*work += chain ? chain->length : 0;
	return *work <= group->budget;
}

/* The receivers, in index order, into group->hits. multicast held. */
static int umc_find_receivers(struct umc_send *send, u32 *found)
{
	struct umc_group *group = send->member->group;
	const struct umc_chain *chain = umc_chain(group, &group->rest);
	u32 i, n = 0, top = READ_ONCE(group->top), work = 0;

	send->message->mark = READ_ONCE(send->member->mark);
	if (!umc_afford(group, chain, &work))
		return UMC_ASKED_BUDGET;
	umc_receivers_begin(send);
	if ((umc_filter_run(chain, send->message, &send->looked) & UMC_KIND_MASK) != UMC_NO)
		return UMC_ASKED_REST;
	for (i = 0; i < top; i++) {
		struct umc_member *to = srcu_dereference(group->table[i], &umc_srcu);

		if (!to || READ_ONCE(to->dead) || READ_ONCE(to->quiet))
			continue;
		chain = umc_chain(group, &to->ingress);
		if (!umc_afford(group, chain, &work))
			return UMC_ASKED_BUDGET;
		switch (umc_filter_run(chain, send->message, &send->looked) & UMC_KIND_MASK) {
		case UMC_YES:
			group->hits[n++] = to;
			break;
		case UMC_NO:
			break;
		default:
			return UMC_ASKED_INGRESS;
		}
		if (i % 16 == 15)
			cond_resched();
	}
	*found = n;
	return 0;
}

/*
 * A write of the daemon may have begun while this sender, which can be preempted, had
 * reserved only some: those it has found busy and holds still, the others it has
 * written to and released.  Delivered now, the message would come before that write
 * at the former and behind it at the latter.
 */
static bool umc_held_meanwhile(struct umc_member *const *receivers, u32 count)
{
	u32 i;

	for (i = 0; i < count; i++)
		if (READ_ONCE(receivers[i]->held))
			return true;
	return false;
}

/* Reserves all receivers and sees that each has room; keeps none on failure. */
static int umc_reserve(struct umc_send *send, u32 *count)
{
	struct umc_group *group = send->member->group;
	size_t length = send->message->len;
	u32 i, kept = 0;
	int reason = 0;

	for (i = 0; i < *count; i++) {
		struct umc_member *to = group->hits[i];

		reason = umc_rx_begin(send, to);
		if (reason)
			break;
		group->hits[kept++] = to;
		reason = umc_room(to, length);
		if (reason == UMC_ASKED_FULL && group->mode == UMC_MODE_DROP) {
			to->dropped++;
			umc_rx_end(to);
			kept--;
			reason = 0;
		}
		if (reason)
			break;
	}
	if (!reason && !umc_committed(send))
		reason = UMC_ASKED_BUSY;
	/* After the rmb of umc_committed(); pairs with umc_hold() and umc_unhold(). */
	if (!reason && umc_held_meanwhile(group->hits, kept))
		reason = UMC_ASKED_HELD;
	if (!reason) {
		*count = kept;
		return 0;
	}
	if (reason == UMC_ASKED_FULL && group->mode == UMC_MODE_BLOCK)
		reason = umc_room_needed(send, group->hits[kept - 1]);
	while (kept)
		umc_rx_end(group->hits[--kept]);
	return reason;
}

/*
 * Nothing can refuse any more.  A receiver that is gone counts as delivered; a
 * delivery that fails for lack of memory, or is cut short, the daemon finishes.
 */
static void umc_deliver_all(struct umc_send *send, u32 count)
{
	struct umc_group *group = send->member->group;
	struct sk_buff *message = send->message;
	u32 i;

	for (i = 0; i < count; i++) {
		struct umc_member *to = group->hits[i];
		int ret = umc_deliver(send, to);

		if (ret != message->len && ret != -EPIPE && ret != -ECONNRESET)
			umc_spill(send->member, message, to, max(ret, 0));
	}
	for (i = 0; i < count; i++)
		umc_rx_end(group->hits[i]);
	send->member->direct++;
	send->member->multicast++;
	send->member->copies += count;
}

/**
 * umc_multicast - deliver to all matching members
 * @send:	the message, tx of its sender held
 * @verdict:	of its egress filter
 *
 * Return: 0, the reason to ask, or UMC_WAIT_FOR_ROOM
 */
int umc_multicast(struct umc_send *send, u32 verdict)
{
	struct umc_group *group = send->member->group;
	u32 count;
	int reason;

	if (verdict & (UMC_VERDICT_CALL | UMC_VERDICT_REPLY))
		return UMC_ASKED_REPLY;
	if (!umc_try_mutex(&group->multicast))
		return UMC_ASKED_BUSY;
	send->message->sk = send->member->sk;
	reason = 0;
	if (!umc_recall_receivers(send, &count)) {
		/* Others find its result; it ran before, unless the verdict was recalled. */
		if (send->recalled)
			umc_run_first(group, send->message);
		reason = umc_find_receivers(send, &count);
		if (!reason)
			umc_remember_receivers(send, count);
	}
	send->message->sk = NULL;
	if (!reason)
		reason = umc_buffer_stamp(send->message,
					  srcu_dereference(send->member->mold, &umc_srcu), verdict);
	if (!reason)
		reason = umc_reserve(send, &count);
	if (!reason)
		umc_deliver_all(send, count);
	mutex_unlock(&group->multicast);
	return reason;
}
