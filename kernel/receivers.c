// SPDX-License-Identifier: GPL-2.0
/*
 * The receivers of a multicast, remembered with the verdict on its header.  The
 * list holds while nothing has changed; if only some ingress filters have, these
 * are run, and the list is put right.  group->multicast and tx held.
 */

#include "memo.h"

/* group->lock held.  A filter of one member, or of the rest, which stands for all, has changed. */
void umc_wanted_changed(struct umc_group *group, struct umc_member *member)
{
	group->wanted++;
	if (!member) {
		group->wanted_all = group->wanted;
		return;
	}
	member->wanted = group->wanted;
	list_move(&member->recent, &group->recent);
}

/* The members whose filters have changed since the list was made, in group->hits; false: all. */
static bool umc_changed(struct umc_group *group, struct umc_memo *memo, u32 *count)
{
	struct umc_member *member;
	bool some;

	*count = 0;
	spin_lock(&group->lock);
	some = memo->wanted >= group->wanted_all;
	list_for_each_entry(member, &group->recent, recent) {
		if (!some || member->wanted <= memo->wanted)
			break;
		group->hits[(*count)++] = member;
	}
	memo->wanted = group->wanted;
	spin_unlock(&group->lock);
	return some;
}

/* Puts a member on the list, which stays in order, or takes it off; false: there is no room. */
static bool umc_list_set(struct umc_send *send, struct umc_list *list, u32 index, bool wants)
{
	u32 at = 0;

	while (at < list->count && list->index[at] < index)
		at++;
	if ((at < list->count && list->index[at] == index) == wants)
		return true;
	if (!wants) {
		list->count--;
		memmove(list->index + at, list->index + at + 1,
			(list->count - at) * sizeof(*list->index));
		return true;
	}
	if (list->count == list->room) {
		WRITE_ONCE(send->member->list_wanted, list->room + 8);
		return false;
	}
	memmove(list->index + at + 1, list->index + at, (list->count - at) * sizeof(*list->index));
	list->index[at] = index;
	list->count++;
	return true;
}

static bool umc_list_update(struct umc_send *send)
{
	struct umc_group *group = send->member->group;
	u32 i, count, work = 0;

	if (!umc_changed(group, send->memo, &count) ||
	    !umc_run_first(group, send->message))
		return false;
	send->message->mark = READ_ONCE(send->member->mark);
	send->looked = 0;
	for (i = 0; i < count; i++) {
		struct umc_member *member = group->hits[i];
		const struct umc_chain *chain = umc_chain(group, &member->ingress);
		u32 verdict = UMC_NO;

		if (!umc_afford(group, chain, &work))
			return false;
		if (!READ_ONCE(member->dead) && !READ_ONCE(member->quiet))
			verdict = umc_filter_run(chain, send->message, &send->looked);
		verdict &= UMC_KIND_MASK;
		if ((verdict != UMC_YES && verdict != UMC_NO) || send->looked > send->header ||
		    !umc_list_set(send, send->memo->list, member->index, verdict == UMC_YES))
			return false;
	}
	return true;
}

/**
 * umc_recall_receivers - who gets a multicast with that header?
 * @send:	the message; group->multicast held
 * @count:	out: how many there are in group->hits
 *
 * Return: they are known
 */
bool umc_recall_receivers(struct umc_send *send, u32 *count)
{
	struct umc_group *group = send->member->group;
	struct umc_memo *memo = send->memo;
	u32 i;

	if (!memo || !send->recalled || !memo->listed)
		return false;
	if (memo->epoch != send->epoch) {
		memo->listed = umc_list_update(send);
		memo->epoch = send->epoch;
		if (!memo->listed)
			return false;
	}
	*count = 0;
	for (i = 0; i < memo->list->count; i++) {
		struct umc_member *to = srcu_dereference(group->table[memo->list->index[i]],
							 &umc_srcu);

		if (to && !READ_ONCE(to->dead))
			group->hits[(*count)++] = to;
	}
	return true;
}

/* Before the filters of all members run: what they say is at least as new as this. */
void umc_receivers_begin(struct umc_send *send)
{
	struct umc_group *group = send->member->group;

	send->looked = 0;
	if (!send->memo)
		return;
	spin_lock(&group->lock);
	send->memo->wanted = group->wanted;
	spin_unlock(&group->lock);
	send->memo->epoch = send->epoch;
	send->memo->listed = false;
}

/* The receivers in group->hits are all. */
void umc_remember_receivers(struct umc_send *send, u32 count)
{
	struct umc_group *group = send->member->group;
	struct umc_memo *memo = send->memo;
	u32 i;

	if (!memo || send->looked > send->header)
		return;
	if (!memo->list || memo->list->room < count)
		swap(memo->list, send->member->memory->spare_list);
	if (!memo->list || memo->list->room < count) {
		WRITE_ONCE(send->member->list_wanted, count + 4);
		return;
	}
	for (i = 0; i < count; i++)
		memo->list->index[i] = group->hits[i]->index;
	memo->list->count = count;
	memo->listed = true;
}
