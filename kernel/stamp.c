// SPDX-License-Identifier: GPL-2.0
/* Stamps and marks: what the group's owner says about a member. */

#include <linux/slab.h>

#include "umc.h"

static void umc_mold_free(struct umc_garbage *garbage)
{
	kfree(container_of(garbage, struct umc_mold, garbage));
}

static struct umc_mold *umc_mold_new(const struct umc_stamp *stamp)
{
	struct umc_mold *mold = kmalloc(struct_size(mold, bytes, stamp->length),
					GFP_KERNEL_ACCOUNT);

	if (!mold)
		return NULL;
	mold->flags = stamp->flags;
	mold->length = stamp->length;
	mold->offset = stamp->offset;
	mold->length_offset = stamp->length_offset;
	memcpy(mold->bytes, stamp->bytes, stamp->length);
	return mold;
}

static struct umc_member *umc_member_alive(struct umc_group *group, u32 index)
{
	struct umc_member *member = umc_member_locked(group, index);

	return member && !member->dead ? member : NULL;
}

int umc_stamp_set(struct umc_group *group, const struct umc_stamp *stamp)
{
	struct umc_member *member;
	struct umc_mold *mold;
	int err = 0;

	if (stamp->flags & ~UMC_STAMP_LENGTH || stamp->reserved ||
	    stamp->length > UMC_MAX_STAMP || stamp->offset > UMC_MAX_STAMP)
		return -EINVAL;
	if (stamp->flags & UMC_STAMP_LENGTH &&
	    (stamp->offset < 4 || stamp->length_offset > stamp->offset - 4))
		return -EINVAL;
	mold = umc_mold_new(stamp);
	if (!mold)
		return -ENOMEM;
	spin_lock(&group->lock);
	member = umc_member_alive(group, stamp->index);
	if (!member) {
		err = -ENOENT;
	} else if (!member->daemon) {
		err = -EOPNOTSUPP;
	} else {
		mold = rcu_replace_pointer(member->mold, mold, lockdep_is_held(&group->lock));
		umc_group_changed(group);
	}
	spin_unlock(&group->lock);
	if (err)
		kfree(mold);
	else if (mold)
		umc_reap(&mold->garbage, umc_mold_free);
	return err;
}

int umc_mark_set(struct umc_group *group, const struct umc_mark *mark)
{
	struct umc_member *member;

	spin_lock(&group->lock);
	member = umc_member_alive(group, mark->index);
	if (member) {
		WRITE_ONCE(member->mark, mark->mark);
		umc_wanted_changed(group, NULL);
		umc_group_changed(group);
	}
	spin_unlock(&group->lock);
	return member ? 0 : -ENOENT;
}
