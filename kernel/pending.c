// SPDX-License-Identifier: GPL-2.0
/*
 * The list of pending calls, of which the daemon asks for those of a caller, of a
 * callee, or for the oldest of all.
 */

#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "umc.h"

/* What has been found so far, and how much of it there is room for. */
struct umc_found {
	const struct umc_pending_list *list;
	struct umc_pending *entries;
	u32 room;
	u32 count;
};

/* False: this call is too young, as are all that follow. */
static bool umc_found_add(struct umc_found *found, const struct umc_call *call)
{
	u32 age = jiffies_to_msecs(jiffies - call->since);

	if (age < found->list->min_age_ms)
		return false;
	if (found->list->callee != UMC_ANY && call->callee->index != found->list->callee)
		return true;
	if (found->count < found->room)
		found->entries[found->count] = (struct umc_pending) {
			.caller = call->caller->index,
			.callee = call->callee->index,
			.key = call->key,
			.age_ms = age,
		};
	found->count++;
	return true;
}

/* The lists are in order of age; one that says how long it is need not be walked to its end. */
static void umc_found_all(struct umc_found *found, struct umc_group *group)
{
	struct umc_call *call;

	list_for_each_entry(call, &group->call_ages, age)
		if (found->count > found->room || !umc_found_add(found, call))
			break;
	if (!found->list->min_age_ms)
		found->count = group->calls;
}

static void umc_found_of(struct umc_found *found, struct umc_member *caller)
{
	bool each = found->list->min_age_ms || found->list->callee != UMC_ANY;
	struct umc_call *call;

	list_for_each_entry(call, &caller->made, made)
		if ((found->count > found->room && !each) || !umc_found_add(found, call))
			break;
	if (!each)
		found->count = caller->calls;
}

static void umc_found_to(struct umc_found *found, struct umc_member *callee)
{
	struct umc_call *call;

	list_for_each_entry(call, &callee->owed, owed)
		if (found->count > found->room || !umc_found_add(found, call))
			break;
	if (!found->list->min_age_ms)
		found->count = callee->debts;
}

static void umc_pending_collect(struct umc_group *group, struct umc_found *found)
{
	const struct umc_pending_list *list = found->list;
	bool by_caller = list->caller != UMC_ANY;
	struct umc_member *member;

	spin_lock(&group->lock);
	member = umc_member_locked(group, by_caller ? list->caller : list->callee);
	spin_lock(&group->calls_lock);
	if (!by_caller && list->callee == UMC_ANY)
		umc_found_all(found, group);
	else if (member && by_caller)
		umc_found_of(found, member);
	else if (member)
		umc_found_to(found, member);
	spin_unlock(&group->calls_lock);
	spin_unlock(&group->lock);
}

int umc_pending_list(struct umc_group *group, struct umc_pending_list *list)
{
	struct umc_found found = {
		.list = list,
		.room = min_t(u32, list->count, UMC_MAX_MEMBERS),
	};
	int err = 0;

	if (list->flags || list->reserved)
		return -EINVAL;
	if (found.room) {
		found.entries = kvcalloc(found.room, sizeof(*found.entries), GFP_KERNEL_ACCOUNT);
		if (!found.entries)
			return -ENOMEM;
	}
	umc_pending_collect(group, &found);
	if (copy_to_user(u64_to_user_ptr(list->entries), found.entries,
			 min(found.count, found.room) * sizeof(*found.entries)))
		err = -EFAULT;
	list->count = found.count;
	kvfree(found.entries);
	return err;
}
