// SPDX-License-Identifier: GPL-2.0
/*
 * Pending calls: a reply passes only if a call is pending for it.
 *
 * A caller has a hash table of its calls, which grows with them; a callee has a
 * list of those it has to answer.  So nothing that a member does makes the calls
 * of others slower, and no walk is longer than what it finds.  The hash has a
 * secret seed, since callers choose the keys.  A caller keeps some calls that were
 * answered for those that it makes next.
 */

#include <linux/jhash.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "umc.h"

#define UMC_GROW_AT	4		/* calls for each bucket */
#define UMC_GROW_BY	8
#define UMC_MAX_BUCKETS	(UMC_FEW_CALLS * 512)
#define UMC_MAX_CHAIN	16		/* on average; of 65,536 calls with all buckets */
#define UMC_PURGE	256		/* calls, each time the lock is held */
#define UMC_IDLE	64		/* calls that a caller keeps */

static struct kmem_cache *umc_call_cache;

void umc_calls_begin(struct umc_member *member)
{
	INIT_LIST_HEAD(&member->made);
	INIT_LIST_HEAD(&member->owed);
	member->buckets = member->few;
	member->bucket_mask = UMC_FEW_CALLS - 1;
}

static struct hlist_head *umc_call_bucket(struct umc_member *caller,
					  const struct umc_member *callee, u32 key)
{
	u32 hash = jhash_2words(callee->index, key, caller->group->seed);

	return &caller->buckets[hash & caller->bucket_mask];
}

static struct umc_call *umc_call_find(const struct hlist_head *bucket,
				      const struct umc_member *callee, u32 key)
{
	struct umc_call *call;

	hlist_for_each_entry(call, bucket, node)
		if (call->callee == callee && call->key == key)
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

static u32 umc_buckets_wanted(const struct umc_member *caller)
{
	u32 buckets = READ_ONCE(caller->bucket_mask) + 1;

	if (likely(READ_ONCE(caller->calls) < buckets * UMC_GROW_AT) || buckets == UMC_MAX_BUCKETS)
		return 0;
	return buckets * UMC_GROW_BY;
}

/**
 * umc_calls_grow - make room for more calls, if there are many
 * @caller:	a reference to it is held, or umc_srcu; tx is not
 *
 * Without memory the table stays as it is, until umc_call_insert() refuses.
 */
void umc_calls_grow(struct umc_member *caller)
{
	u32 wanted = umc_buckets_wanted(caller), old;
	struct hlist_head *buckets;
	struct umc_call *call;

	if (!wanted)
		return;
	buckets = kvcalloc(wanted, sizeof(*buckets), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!buckets)
		return;
	spin_lock(&caller->group->calls_lock);
	old = caller->bucket_mask + 1;
	if (old * UMC_GROW_BY == wanted) {
		swap(caller->buckets, buckets);
		WRITE_ONCE(caller->bucket_mask, wanted - 1);
		list_for_each_entry(call, &caller->made, made) {
			hlist_del(&call->node);
			hlist_add_head(&call->node,
				       umc_call_bucket(caller, call->callee, call->key));
		}
	}
	spin_unlock(&caller->group->calls_lock);
	if (buckets != caller->few)
		kvfree(buckets);
}

static void umc_call_unlink(struct umc_call *call)
{
	hlist_del(&call->node);
	list_del(&call->made);
	list_del(&call->owed);
	list_del(&call->age);
	WRITE_ONCE(call->caller->calls, call->caller->calls - 1);
	call->callee->debts--;
	call->caller->group->calls--;
}

static void umc_call_link(struct umc_call *call, struct hlist_head *bucket)
{
	hlist_add_head(&call->node, bucket);
	list_add_tail(&call->made, &call->caller->made);
	list_add_tail(&call->owed, &call->callee->owed);
	list_add_tail(&call->age, &call->caller->group->call_ages);
	WRITE_ONCE(call->caller->calls, call->caller->calls + 1);
	call->callee->debts++;
	call->caller->group->calls++;
}

/* calls_lock held */
static int umc_call_admit(struct umc_member *caller, const struct umc_member *callee, u32 key,
			  const struct hlist_head *bucket)
{
	if (caller->dead)
		return -ENOENT;
	if (umc_call_find(bucket, callee, key))
		return -EEXIST;
	if (caller->calls >= caller->group->max_calls)
		return -EDQUOT;
	return caller->calls < (caller->bucket_mask + 1) * UMC_MAX_CHAIN ? 0 : -ENOMEM;
}

static struct umc_call *umc_call_idle(struct umc_member *caller)
{
	struct umc_call *call = hlist_entry_safe(caller->idle.first, struct umc_call, node);

	if (call) {
		hlist_del(&call->node);
		caller->idle_calls--;
	}
	return call;
}

/* calls_lock held.  Records the call in an idle one, or in *spare, which becomes NULL then. */
static int umc_call_begin(struct umc_member *caller, struct umc_member *callee, u32 key,
			  struct umc_call **spare)
{
	struct hlist_head *bucket = umc_call_bucket(caller, callee, key);
	int err = umc_call_admit(caller, callee, key, bucket);
	struct umc_call *call;

	if (err)
		return err;
	call = umc_call_idle(caller);
	if (!call)
		swap(call, *spare);
	if (!call)
		return -ENOMEM;
	call->caller = caller;
	call->callee = callee;
	call->key = key;
	call->since = jiffies;
	umc_call_link(call, bucket);
	return 0;
}

/**
 * umc_call_insert - record a call that is about to be delivered
 * @caller:	sender
 * @callee:	receiver
 * @key:	the message's
 * @spare:	one that may be used, and then becomes NULL
 *
 * Both inside umc_srcu.  A callee that dies later has this call on its list.
 *
 * Return: 0, -ENOENT if one of them is dead, -EEXIST, -ENOMEM, or -EDQUOT at the limit
 */
int umc_call_insert(struct umc_member *caller, struct umc_member *callee, u32 key,
		    struct umc_call **spare)
{
	struct umc_group *group = caller->group;
	int err = -ENOENT;

	spin_lock(&group->calls_lock);
	if (!callee->dead)
		err = umc_call_begin(caller, callee, key, spare);
	spin_unlock(&group->calls_lock);
	return err;
}

/* calls_lock held */
static struct umc_call *umc_call_remove(struct umc_member *caller,
					const struct umc_member *callee, u32 key)
{
	struct umc_call *call = umc_call_find(umc_call_bucket(caller, callee, key), callee, key);

	if (call)
		umc_call_unlink(call);
	return call;
}

/**
 * umc_call_end - forget a call that is answered, or was not delivered
 * @caller:	sender of the call
 * @callee:	receiver
 * @key:	the message's
 *
 * Return: there was one
 */
bool umc_call_end(struct umc_member *caller, const struct umc_member *callee, u32 key)
{
	struct umc_call *call, *surplus = NULL;

	spin_lock(&caller->group->calls_lock);
	call = umc_call_remove(caller, callee, key);
	if (call && caller->idle_calls < UMC_IDLE) {
		hlist_add_head(&call->node, &caller->idle);
		caller->idle_calls++;
	} else {
		surplus = call;
	}
	spin_unlock(&caller->group->calls_lock);
	umc_call_free(surplus);
	return call;
}

/* No one can find the caller any more. */
void umc_idle_calls_free(struct umc_member *caller)
{
	struct umc_call *call;

	while ((call = umc_call_idle(caller)))
		umc_call_free(call);
}

static void umc_calls_free(struct list_head *gone)
{
	struct umc_call *call, *next;

	list_for_each_entry_safe(call, next, gone, age)
		umc_call_free(call);
	INIT_LIST_HEAD(gone);
}

/* Forgets what a member that has died was waiting for. */
void umc_calls_purge(struct umc_member *caller)
{
	struct umc_call *call;
	LIST_HEAD(gone);
	u32 n;

	do {
		spin_lock(&caller->group->calls_lock);
		for (n = 0; n < UMC_PURGE && !list_empty(&caller->made); n++) {
			call = list_first_entry(&caller->made, struct umc_call, made);
			umc_call_unlink(call);
			list_add(&call->age, &gone);
		}
		spin_unlock(&caller->group->calls_lock);
		umc_calls_free(&gone);
	} while (n == UMC_PURGE);
}

/* Forgets what a member that is forgotten had to answer. */
void umc_debts_purge(struct umc_member *callee)
{
	struct umc_call *call;
	LIST_HEAD(gone);
	u32 n;

	do {
		spin_lock(&callee->group->calls_lock);
		for (n = 0; n < UMC_PURGE && !list_empty(&callee->owed); n++) {
			call = list_first_entry(&callee->owed, struct umc_call, owed);
			umc_call_unlink(call);
			list_add(&call->age, &gone);
		}
		spin_unlock(&callee->group->calls_lock);
		umc_calls_free(&gone);
	} while (n == UMC_PURGE);
}

/*
 * group->lock held, so that the callee is not forgotten meanwhile.  It may be
 * dead: the daemon then finds the call in the list of those without an answer.
 */
static int umc_pending_insert(struct umc_group *group, const struct umc_pending *pending,
			      struct umc_call **spare)
{
	struct umc_member *caller = umc_member_locked(group, pending->caller);
	struct umc_member *callee = umc_member_locked(group, pending->callee);
	int err = -ENOENT;

	if (!caller || !callee)
		return err;
	spin_lock(&group->calls_lock);
	err = umc_call_begin(caller, callee, pending->key, spare);
	spin_unlock(&group->calls_lock);
	return err;
}

int umc_pending_add(struct umc_group *group, const struct umc_pending *pending)
{
	struct umc_member *caller;
	struct umc_call *call;
	int err;

	if (pending->caller >= group->max_members || pending->callee >= group->max_members ||
	    !pending->key || group->address)
		return -EINVAL;
	call = umc_call_new();
	if (!call)
		return -ENOMEM;
	caller = umc_member_get(group, pending->caller);
	if (caller) {
		umc_calls_grow(caller);
		umc_member_put(caller);
	}
	spin_lock(&group->lock);
	err = umc_pending_insert(group, pending, &call);
	spin_unlock(&group->lock);
	umc_call_free(call);
	return err;
}

int umc_pending_take(struct umc_group *group, struct umc_pending *pending)
{
	struct umc_member *caller, *callee;
	struct umc_call *call = NULL;

	if (pending->caller >= group->max_members || pending->callee >= group->max_members)
		return -EINVAL;
	spin_lock(&group->lock);
	caller = umc_member_locked(group, pending->caller);
	callee = umc_member_locked(group, pending->callee);
	if (caller && callee) {
		spin_lock(&group->calls_lock);
		call = umc_call_remove(caller, callee, pending->key);
		spin_unlock(&group->calls_lock);
	}
	spin_unlock(&group->lock);
	if (!call)
		return -ENOENT;
	pending->age_ms = jiffies_to_msecs(jiffies - call->since);
	umc_call_free(call);
	return 0;
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
