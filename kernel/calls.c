// SPDX-License-Identifier: GPL-2.0
/* Pending calls: a reply passes only if a call is pending for it. */

#include <linux/jhash.h>
#include <linux/jiffies.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "umc.h"

static struct kmem_cache *umc_call_cache;

static struct hlist_head *umc_call_bucket(struct umc_group *group, u32 caller, u32 callee, u32 key)
{
	return &group->calls[jhash_3words(caller, callee, key, 0) % UMC_CALL_BUCKETS];
}

static struct umc_call *umc_call_find(struct umc_group *group, u32 caller, u32 callee, u32 key)
{
	struct umc_call *call;

	hlist_for_each_entry(call, umc_call_bucket(group, caller, callee, key), node)
		if (call->caller == caller && call->callee == callee && call->key == key)
			return call;
	return NULL;
}

struct umc_call *umc_call_new(void)
{
	return kmem_cache_alloc(umc_call_cache, GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
}

void umc_call_free(struct umc_call *call)
{
	if (call)
		kmem_cache_free(umc_call_cache, call);
}

/* calls_lock held.  A dead caller's slot is NULL; its calls are gone anyway. */
static void umc_call_count(struct umc_group *group, u32 caller, int by)
{
	struct umc_member *member;

	rcu_read_lock();
	member = rcu_dereference(group->table[caller]);
	if (member)
		member->calls += by;
	rcu_read_unlock();
}

static void umc_call_unlink(struct umc_group *group, struct umc_call *call)
{
	hlist_del(&call->node);
	list_del(&call->age);
	umc_call_count(group, call->caller, -1);
}

static void umc_call_link(struct umc_group *group, struct umc_call *call)
{
	hlist_add_head(&call->node,
		       umc_call_bucket(group, call->caller, call->callee, call->key));
	umc_call_count(group, call->caller, 1);
}

/**
 * umc_call_insert - record a call
 * @caller:	sender; its tx held, or config
 * @call:	to be filled in; belongs to the table on success
 * @callee:	index of the receiver
 * @key:	the message's
 *
 * Return: 0, -EEXIST, or -EDQUOT at the limit
 */
int umc_call_insert(struct umc_member *caller, struct umc_call *call, u32 callee, u32 key)
{
	struct umc_group *group = caller->group;
	int err = 0;

	spin_lock(&group->calls_lock);
	if (umc_call_find(group, caller->index, callee, key)) {
		err = -EEXIST;
	} else if (caller->calls >= group->max_calls) {
		err = -EDQUOT;
	} else {
		call->caller = caller->index;
		call->callee = callee;
		call->key = key;
		call->since = jiffies;
		umc_call_link(group, call);
		list_add_tail(&call->age, &group->call_ages);
	}
	spin_unlock(&group->calls_lock);
	return err;
}

/* Reinserts a call taken by umc_call_take(), unless the caller has left meanwhile. */
void umc_call_restore(struct umc_group *group, struct umc_call *call)
{
	struct umc_call *later;

	spin_lock(&group->calls_lock);
	if (rcu_access_pointer(group->table[call->caller])) {
		umc_call_link(group, call);
		list_for_each_entry(later, &group->call_ages, age)
			if (time_after(later->since, call->since))
				break;
		list_add_tail(&call->age, &later->age);
		call = NULL;
	}
	spin_unlock(&group->calls_lock);
	umc_call_free(call);
}

struct umc_call *umc_call_take(struct umc_group *group, u32 caller, u32 callee, u32 key)
{
	struct umc_call *call;

	spin_lock(&group->calls_lock);
	call = umc_call_find(group, caller, callee, key);
	if (call)
		umc_call_unlink(group, call);
	spin_unlock(&group->calls_lock);
	return call;
}

/* Forgets the calls of a caller, or to a callee; UMC_ANY matches every index. */
void umc_calls_purge(struct umc_group *group, u32 caller, u32 callee)
{
	struct umc_call *call, *next;
	LIST_HEAD(gone);

	spin_lock(&group->calls_lock);
	list_for_each_entry_safe(call, next, &group->call_ages, age) {
		if ((caller != UMC_ANY && call->caller != caller) ||
		    (callee != UMC_ANY && call->callee != callee))
			continue;
		umc_call_unlink(group, call);
		list_add(&call->age, &gone);
	}
	spin_unlock(&group->calls_lock);
	list_for_each_entry_safe(call, next, &gone, age)
		umc_call_free(call);
}

/* A call that the daemon delivers; the callee may be dead, but not forgotten. */
int umc_pending_add(struct umc_group *group, const struct umc_pending *pending)
{
	struct umc_member *caller;
	struct umc_call *call;
	int err = -ENOENT;

	if (pending->caller >= group->max_members || pending->callee >= group->max_members ||
	    !pending->key || group->address)
		return -EINVAL;
	call = umc_call_new();
	if (!call)
		return -ENOMEM;
	mutex_lock(&group->config);
	caller = umc_member_locked(group, pending->caller);
	if (caller && (umc_member_locked(group, pending->callee) ||
		       test_bit(pending->callee, group->dead)))
		err = umc_call_insert(caller, call, pending->callee, pending->key);
	mutex_unlock(&group->config);
	if (err)
		umc_call_free(call);
	return err;
}

int umc_pending_take(struct umc_group *group, struct umc_pending *pending)
{
	struct umc_call *call;

	if (pending->caller >= group->max_members || pending->callee >= group->max_members)
		return -EINVAL;
	call = umc_call_take(group, pending->caller, pending->callee, pending->key);
	if (!call)
		return -ENOENT;
	pending->age_ms = jiffies_to_msecs(jiffies - call->since);
	umc_call_free(call);
	return 0;
}

static u32 umc_pending_collect(struct umc_group *group, const struct umc_pending_list *list,
			       struct umc_pending *entries, u32 room)
{
	struct umc_call *call;
	u32 found = 0;

	spin_lock(&group->calls_lock);
	list_for_each_entry(call, &group->call_ages, age) {
		u32 age = jiffies_to_msecs(jiffies - call->since);

		if (age < list->min_age_ms)
			break;
		if ((list->caller != UMC_ANY && call->caller != list->caller) ||
		    (list->callee != UMC_ANY && call->callee != list->callee))
			continue;
		if (found < room)
			entries[found] = (struct umc_pending) {
				.caller = call->caller,
				.callee = call->callee,
				.key = call->key,
				.age_ms = age,
			};
		found++;
	}
	spin_unlock(&group->calls_lock);
	return found;
}

int umc_pending_list(struct umc_group *group, struct umc_pending_list *list)
{
	u32 room = min_t(u32, list->count, UMC_MAX_MEMBERS);
	struct umc_pending *entries = NULL;
	u32 found;
	int err = 0;

	if (list->flags || list->reserved)
		return -EINVAL;
	if (room) {
		entries = kvcalloc(room, sizeof(*entries), GFP_KERNEL_ACCOUNT);
		if (!entries)
			return -ENOMEM;
	}
	found = umc_pending_collect(group, list, entries, room);
	if (copy_to_user(u64_to_user_ptr(list->entries), entries,
			 min(found, room) * sizeof(*entries)))
		err = -EFAULT;
	list->count = found;
	kvfree(entries);
	return err;
}

int umc_calls_init(void)
{
	umc_call_cache = kmem_cache_create("unix_multicast_call", sizeof(struct umc_call), 0,
					   SLAB_ACCOUNT, NULL);
	return umc_call_cache ? 0 : -ENOMEM;
}

void umc_calls_exit(void)
{
	kmem_cache_destroy(umc_call_cache);
}
