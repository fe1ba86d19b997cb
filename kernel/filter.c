// SPDX-License-Identifier: GPL-2.0
/* Filters and stamps: what the group's owner attaches to the remote end. */

#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "umc.h"

/**
 * umc_filter_run - verdict of the first program that does not say UMC_ASK
 * @chain:	or NULL
 * @message:	linear, with its headers set
 *
 * Return: verdict; UMC_ASK if there is none
 */
u32 umc_filter_run(const struct umc_chain *chain, struct sk_buff *message)
{
	u32 i, verdict;

	for (i = 0; chain && i < chain->count; i++) {
		verdict = bpf_prog_run_clear_cb(chain->programs[i], message);
		if (verdict & UMC_KIND_MASK)
			return verdict;
		cond_resched();
	}
	return UMC_ASK;
}

void umc_chain_free(struct umc_chain *chain)
{
	u32 i;

	if (!chain)
		return;
	for (i = 0; i < chain->count; i++)
		bpf_prog_destroy(chain->programs[i]);
	kfree(chain);
}

static int umc_chain_append(struct umc_chain *chain, const struct umc_program *program)
{
	struct sock_fprog fprog = {
		.len = program->length,
		.filter = u64_to_user_ptr(program->instructions),
	};
	int err;

	if (program->reserved || !program->length || program->length > BPF_MAXINSNS)
		return -EINVAL;
	err = bpf_prog_create_from_user(&chain->programs[chain->count], &fprog, NULL, false);
	if (err)
		return err;
	chain->count++;
	chain->length += program->length;
	return 0;
}

static struct umc_chain *umc_chain_from_user(const struct umc_filter *filter)
{
	struct umc_program __user *from = u64_to_user_ptr(filter->programs);
	struct umc_program program;
	struct umc_chain *chain;
	int err = 0;
	u32 i;

	if (!filter->count)
		return NULL;
	if (filter->count > UMC_MAX_PROGRAMS)
		return ERR_PTR(-EINVAL);
	chain = kzalloc(struct_size(chain, programs, filter->count), GFP_KERNEL_ACCOUNT);
	if (!chain)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < filter->count && !err; i++) {
		if (copy_from_user(&program, from + i, sizeof(program)))
			err = -EFAULT;
		else
			err = umc_chain_append(chain, &program);
	}
	if (!err)
		return chain;
	umc_chain_free(chain);
	return ERR_PTR(err);
}

/*
 * Swaps under the lock that every run of this filter and the resulting delivery
 * hold: no verdict of the old one is under way on return.  The first filter
 * needs no lock, as it does not run without members.
 */
static int umc_chain_swap(struct umc_group *group, const struct umc_filter *filter,
			  struct umc_chain **chain)
{
	struct umc_member *member = NULL;

	if (filter->which == UMC_FILTER_FIRST) {
		if (group->members)
			return -EBUSY;
		swap(group->first, *chain);
		return 0;
	}
	if (filter->which != UMC_FILTER_REST) {
		member = umc_member_locked(group, filter->index);
		if (!member)
			return -ENOENT;
	}
	if (filter->which == UMC_FILTER_EGRESS) {
		if (!member->daemon)
			return -EOPNOTSUPP;
		if (mutex_lock_killable(&member->hook->tx))
			return -EINTR;
		swap(member->egress, *chain);
		mutex_unlock(&member->hook->tx);
		return 0;
	}
	if (mutex_lock_killable(&group->multicast))
		return -EINTR;
	if (filter->which == UMC_FILTER_REST)
		swap(group->rest, *chain);
	else
		swap(member->ingress, *chain);
	mutex_unlock(&group->multicast);
	return 0;
}

int umc_filter_set(struct umc_group *group, const struct umc_filter *filter)
{
	bool of_group = filter->which >= UMC_FILTER_REST;
	struct umc_chain *chain;
	int err;

	if (filter->flags || filter->prog_type || filter->prog_fd ||
	    filter->which > UMC_FILTER_FIRST)
		return -EINVAL;
	if (filter->index == UMC_ANY ? !of_group : of_group)
		return -EINVAL;
	if (of_group && group->address)
		return -EOPNOTSUPP;
	chain = umc_chain_from_user(filter);
	if (IS_ERR(chain))
		return PTR_ERR(chain);
	mutex_lock(&group->config);
	err = umc_chain_swap(group, filter, &chain);
	mutex_unlock(&group->config);
	umc_chain_free(chain);
	return err;
}

int umc_stamp_set(struct umc_group *group, const struct umc_stamp *stamp)
{
	struct umc_member *member;
	int err = 0;

	if (stamp->flags & ~UMC_STAMP_LENGTH || stamp->reserved ||
	    stamp->length > UMC_MAX_STAMP || stamp->offset > UMC_MAX_STAMP)
		return -EINVAL;
	if (stamp->flags & UMC_STAMP_LENGTH &&
	    (stamp->offset < 4 || stamp->length_offset > stamp->offset - 4))
		return -EINVAL;
	mutex_lock(&group->config);
	member = umc_member_locked(group, stamp->index);
	if (!member)
		err = -ENOENT;
	else if (!member->daemon)
		err = -EOPNOTSUPP;
	else if (mutex_lock_killable(&member->hook->tx))
		err = -EINTR;
	if (!err) {
		member->stamp_flags = stamp->flags;
		member->stamp_length = stamp->length;
		member->stamp_offset = stamp->offset;
		member->stamp_length_offset = stamp->length_offset;
		memcpy(member->stamp, stamp->bytes, stamp->length);
		mutex_unlock(&member->hook->tx);
	}
	mutex_unlock(&group->config);
	return err;
}
