// SPDX-License-Identifier: GPL-2.0
/* Limits of one user: groups, members, filters. */

#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/hashtable.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>

#include "umc.h"

static unsigned int max_groups = 64;
module_param(max_groups, uint, 0644);
MODULE_PARM_DESC(max_groups, "groups of a user without CAP_NET_ADMIN");

static unsigned int max_members = 1024;
module_param(max_members, uint, 0644);
MODULE_PARM_DESC(max_members, "members of all groups of a user without CAP_NET_ADMIN");

/* Compiled, an instruction takes up to 110 bytes of the kernel's memory. */
static unsigned int max_instructions = 0x40000;
module_param(max_instructions, uint, 0644);
MODULE_PARM_DESC(max_instructions, "filter instructions of all groups of such a user");

static unsigned int max_work = 0x40000;
module_param(max_work, uint, 0644);
MODULE_PARM_DESC(max_work, "filter instructions of one multicast");

struct umc_user {
	struct hlist_node node;
	kuid_t uid;
	bool privileged;
	u32 groups;
	u32 members;		/* those not forgotten, too */
	u64 instructions;	/* those not freed yet, too, for which a user outlives its groups */
};

static DEFINE_HASHTABLE(umc_users, 6);
static DEFINE_SPINLOCK(umc_users_lock);

static struct umc_user *umc_user_find(kuid_t uid, bool privileged)
{
	struct umc_user *user;

	hash_for_each_possible(umc_users, user, node, __kuid_val(uid))
		if (uid_eq(user->uid, uid) && user->privileged == privileged)
			return user;
	return NULL;
}

/**
 * umc_user_get - charge a group to the current user
 * @privileged:	without limits
 *
 * Return: for umc_user_put(), or ERR_PTR()
 */
struct umc_user *umc_user_get(bool privileged)
{
	struct umc_user *fresh = kzalloc(sizeof(*fresh), GFP_KERNEL_ACCOUNT);
	kuid_t uid = current_euid();
	struct umc_user *user;

	if (!fresh)
		return ERR_PTR(-ENOMEM);
	spin_lock(&umc_users_lock);
	user = umc_user_find(uid, privileged);
	if (!user) {
		user = fresh;
		fresh = NULL;
		user->uid = uid;
		user->privileged = privileged;
		hash_add(umc_users, &user->node, __kuid_val(uid));
	}
	if (!privileged && user->groups >= max_groups)
		user = ERR_PTR(-EMFILE);
	else
		user->groups++;
	spin_unlock(&umc_users_lock);
	kfree(fresh);
	return user;
}

/* umc_users_lock held.  Return: what is to be freed */
static struct umc_user *umc_user_unused(struct umc_user *user)
{
	if (user->groups || user->instructions)
		return NULL;
	hash_del(&user->node);
	return user;
}

void umc_user_put(struct umc_user *user)
{
	spin_lock(&umc_users_lock);
	user->groups--;
	user = umc_user_unused(user);
	spin_unlock(&umc_users_lock);
	kfree(user);
}

int umc_user_charge(struct umc_user *user, u32 members, u32 instructions)
{
	int err = 0;

	spin_lock(&umc_users_lock);
	if (!user->privileged && (user->members + members > max_members ||
				  user->instructions + instructions > max_instructions)) {
		err = -EDQUOT;
	} else {
		user->members += members;
		user->instructions += instructions;
	}
	spin_unlock(&umc_users_lock);
	return err;
}

void umc_user_uncharge(struct umc_user *user, u32 members, u32 instructions)
{
	spin_lock(&umc_users_lock);
	user->members -= members;
	user->instructions -= instructions;
	user = umc_user_unused(user);
	spin_unlock(&umc_users_lock);
	kfree(user);
}

u32 umc_user_max_members(const struct umc_user *user)
{
	return user->privileged ? UMC_MAX_MEMBERS : min_t(u32, max_members, UMC_MAX_MEMBERS);
}

/* What runs under a lock is bounded for all users. */
u32 umc_user_budget(void)
{
	return max_work;
}
