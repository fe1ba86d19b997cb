// SPDX-License-Identifier: GPL-2.0
/*
 * Names: byte strings that the owner of the group gives to members.  One filter
 * that all members share says where in a message the name of its receiver stands;
 * no filter has to be made for a pair of members before they can talk.
 *
 * Classes say which members may send to which: each member has one, and each
 * class accepts messages of some classes, told apart by topic.  A message to a
 * name that no member has, or one that is not accepted, is left to the sender's
 * own filter.
 *
 * The hash is seeded, since members choose their names.
 */

#include <linux/jhash.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "umc.h"

#define UMC_MAX_CHAIN	16		/* names in a bucket, on average */
#define UMC_PURGE	256		/* names, each time the lock is held */

static bool names = true;
module_param(names, bool, 0644);
MODULE_PARM_DESC(names, "find receivers by name, with the filter that all members share");

struct umc_name_entry {
	struct umc_garbage garbage;
	struct hlist_node node;		/* group->named */
	struct list_head owned;		/* member->named */
	struct umc_member *member;
	u32 length;
	u8 bytes[];
};

/* As many as there may be members; 0 or -ENOMEM. */
int umc_names_init(struct umc_group *group)
{
	u32 buckets = roundup_pow_of_two(group->max_members);

	group->named = kvcalloc(buckets, sizeof(*group->named), GFP_KERNEL_ACCOUNT);
	group->named_mask = buckets - 1;
	return group->named ? 0 : -ENOMEM;
}

static struct hlist_head *umc_name_bucket(const struct umc_group *group, const u8 *bytes,
					  u32 length)
{
	return &group->named[jhash(bytes, length, group->seed) & group->named_mask];
}

/* group->lock held, or inside umc_srcu */
static struct umc_name_entry *umc_name_find(const struct umc_group *group, const u8 *bytes,
					    u32 length)
{
	struct umc_name_entry *entry;

	hlist_for_each_entry_srcu(entry, umc_name_bucket(group, bytes, length), node,
				  srcu_read_lock_held(&umc_srcu) || lockdep_is_held(&group->lock))
		if (entry->length == length && !memcmp(entry->bytes, bytes, length))
			return entry;
	return NULL;
}

static void umc_name_free(struct umc_garbage *garbage)
{
	kfree(container_of(garbage, struct umc_name_entry, garbage));
}

/* group->lock held */
static void umc_name_drop(struct umc_group *group, struct umc_name_entry *entry)
{
	hlist_del_rcu(&entry->node);
	list_del(&entry->owned);
	group->named_count--;
	umc_reap(&entry->garbage, umc_name_free);
}

/* The member has died, and gets no more. */
void umc_names_purge(struct umc_member *member)
{
	struct umc_group *group = member->group;
	bool left;
	u32 n;

	do {
		spin_lock(&group->lock);
		for (n = 0; n < UMC_PURGE && !list_empty(&member->named); n++)
			umc_name_drop(group, list_first_entry(&member->named,
							      struct umc_name_entry, owned));
		left = !list_empty(&member->named);
		spin_unlock(&group->lock);
	} while (left);
}

/* group->lock held.  The entry belongs to the group on success. */
static int umc_name_give(struct umc_member *member, struct umc_name_entry *entry)
{
	struct umc_group *group = member->group;

	if (group->named_count / UMC_MAX_CHAIN > group->named_mask)
		return -ENOSPC;
	entry->member = member;
	hlist_add_head_rcu(&entry->node, umc_name_bucket(group, entry->bytes, entry->length));
	list_add(&entry->owned, &member->named);
	group->named_count++;
	return 0;
}

/*
 * group->lock held.  The entry, or NULL, belongs to the group on success; else the
 * name is no member's.
 */
static int umc_name_move(struct umc_group *group, u32 index, const u8 *bytes, u32 length,
			 struct umc_name_entry *entry)
{
	struct umc_name_entry *old = umc_name_find(group, bytes, length);
	struct umc_member *member;

	if (old)
		umc_name_drop(group, old);
	umc_group_changed(group);
	if (index == UMC_ANY)
		return 0;
	member = umc_member_locked(group, index);
	if (!member || member->dead)
		return -ENOENT;
	return entry ? umc_name_give(member, entry) : -ENOMEM;
}

/**
 * umc_name_set - UMC_SET_NAME
 * @group:	of connections
 * @name:	whose it is from now on; UMC_ANY: no member's
 *
 * Return: 0; -ENOENT without such a member, -ENOSPC or -ENOMEM: now it is no member's
 */
int umc_name_set(struct umc_group *group, const struct umc_name *name)
{
	struct umc_name_entry *entry = NULL;
	u8 bytes[UMC_MAX_NAME];
	int err;

	if (name->flags || name->reserved || !name->length || name->length > UMC_MAX_NAME)
		return -EINVAL;
	if (group->address)
		return -EOPNOTSUPP;
	if (copy_from_user(bytes, u64_to_user_ptr(name->bytes), name->length))
		return -EFAULT;
	if (name->index != UMC_ANY)
		entry = kmalloc(struct_size(entry, bytes, name->length), GFP_KERNEL_ACCOUNT);
	if (entry) {
		entry->length = name->length;
		memcpy(entry->bytes, bytes, name->length);
	}
	spin_lock(&group->lock);
	err = umc_name_move(group, name->index, bytes, name->length, entry);
	spin_unlock(&group->lock);
	if (err)
		kfree(entry);
	return err;
}

int umc_class_set(struct umc_group *group, const struct umc_class *class)
{
	struct umc_member *member;
	int err = 0;

	if (class->class >= UMC_MAX_CLASSES && class->class != UMC_ANY)
		return -EINVAL;
	if (!READ_ONCE(names))
		return -EOPNOTSUPP;
	spin_lock(&group->lock);
	member = umc_member_locked(group, class->index);
	if (!member || member->dead) {
		err = -ENOENT;
	} else if (!member->daemon) {
		err = -EOPNOTSUPP;
	} else {
		WRITE_ONCE(member->class, class->class);
		WRITE_ONCE(member->classed, group->generation);
		umc_group_changed(group);
	}
	spin_unlock(&group->lock);
	return err;
}

int umc_accept_set(struct umc_group *group, const struct umc_accept *accept)
{
	struct umc_accepts *to;
	u32 i;

	if (accept->flags || accept->class >= UMC_MAX_CLASSES)
		return -EINVAL;
	spin_lock(&group->lock);
	to = &group->accepts[accept->class];
	for (i = 0; i < UMC_TOPICS; i++)
		WRITE_ONCE(to->from[i], accept->from[i]);
	WRITE_ONCE(to->generation, group->generation);
	umc_group_changed(group);
	spin_unlock(&group->lock);
	return 0;
}

/* Of a member, or UMC_ANY: it has none in force. */
static u32 umc_class_of(const struct umc_member *member)
{
	u32 generation = READ_ONCE(member->group->generation);

	return READ_ONCE(member->classed) == generation ? READ_ONCE(member->class) : UMC_ANY;
}

static bool umc_accepts(u32 from, const struct umc_member *to, u32 topic)
{
	const struct umc_group *group = to->group;
	const struct umc_accepts *accepts;
	u32 class = umc_class_of(to);

	if (class == UMC_ANY)
		return false;
	accepts = &group->accepts[class];
	return READ_ONCE(accepts->generation) == READ_ONCE(group->generation) &&
	       READ_ONCE(accepts->from[topic]) & BIT_ULL(from);
}

/*
 * The filter that all members with a class share, inside umc_srcu.  UMC_REVOKE
 * takes back the classes, on which all depends that it decides.
 */
const struct umc_chain *umc_shared(const struct umc_member *from)
{
	if (!READ_ONCE(names) || umc_class_of(from) == UMC_ANY)
		return NULL;
	return srcu_dereference(from->group->shared, &umc_srcu);
}

/**
 * umc_name_resolve - the receiver of a message to a name
 * @send:	the message; looked grows to the end of the name
 * @verdict:	of an egress filter
 *
 * Inside umc_srcu.  What it finds is in force as long as the group's epoch stays.
 *
 * Return: the verdict; instead of UMC_NAMED UMC_UNICAST, or UMC_ASK if there is no
 * such member, or it does not accept this
 */
u32 umc_name_resolve(struct umc_send *send, u32 verdict)
{
	u32 topic = (verdict & UMC_VERDICT_TOPIC_MASK) >> UMC_VERDICT_TOPIC_SHIFT;
	u32 at = (verdict & UMC_VERDICT_NAME_MASK) << 2, class, length;
	const u8 *name = send->message->data + at;
	const struct umc_name_entry *entry;

	if ((verdict & UMC_KIND_MASK) != UMC_NAMED)
		return verdict;
	class = umc_class_of(send->member);
	if (at + 4 > send->message->len || class == UMC_ANY)
		return UMC_ASK;
	length = verdict & UMC_VERDICT_BIG_ENDIAN ? get_unaligned_be32(name) :
						    get_unaligned_le32(name);
	if (length > UMC_MAX_NAME || at + 4 + length > send->message->len)
		return UMC_ASK;
	send->looked = max(send->looked & ~UMC_LOOKED_LENGTH, at + 4 + length) |
		       (send->looked & UMC_LOOKED_LENGTH);
	entry = umc_name_find(send->member->group, name + 4, length);
	/* The names of one that has died are dropped later, perhaps when its index is another's. */
	if (!entry || READ_ONCE(entry->member->dead) || !umc_accepts(class, entry->member, topic))
		return UMC_ASK;
	return UMC_UNICAST | (verdict & (UMC_VERDICT_FLAGS | UMC_VERDICT_KEY_MASK)) |
	       entry->member->index;
}
