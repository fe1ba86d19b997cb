// SPDX-License-Identifier: GPL-2.0
/* Filters: what the group's owner attaches to the remote end. */

#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "umc.h"

static bool interpret = true;
module_param(interpret, bool, 0644);
MODULE_PARM_DESC(interpret, "do not compile the filters of members");

static atomic64_t umc_chain_ids;

/**
 * umc_filter_run - verdict of the first program that does not say UMC_ASK
 * @chain:	or NULL
 * @message:	linear, with its headers set
 * @looked:	grows to the end of what was loaded; U32_MAX if that is not known
 *
 * Return: verdict; UMC_ASK if there is none
 */
u32 umc_filter_run(const struct umc_chain *chain, struct sk_buff *message, u32 *looked)
{
	u32 i, verdict;

	for (i = 0; chain && i < chain->count; i++) {
		const struct umc_code *program = chain->programs[i];

		if (program->compiled) {
			*looked = U32_MAX;
			verdict = bpf_prog_run_clear_cb(program->compiled, message);
		} else {
			verdict = umc_interpret(program->code, message, looked);
		}
		if (verdict & UMC_KIND_MASK)
			return verdict;
		cond_resched();
	}
	return UMC_ASK;
}

static void umc_code_free(struct umc_code *program)
{
	if (program->compiled)
		bpf_prog_destroy(program->compiled);
	kvfree(program);
}

static struct umc_code *umc_code_compiled(struct sock_fprog *from)
{
	struct umc_code *program = kzalloc(sizeof(*program), GFP_KERNEL_ACCOUNT);
	int err;

	if (!program)
		return ERR_PTR(-ENOMEM);
	err = bpf_prog_create_from_user(&program->compiled, from, NULL, false);
	if (!err)
		return program;
	kfree(program);
	return ERR_PTR(err);
}

/* A program that can't be interpreted is compiled, or refused. */
static struct umc_code *umc_code_from_user(struct sock_fprog *from, bool compile)
{
	size_t size = array_size(from->len, sizeof(*from->filter));
	struct umc_code *program;

	if (compile || !READ_ONCE(interpret))
		return umc_code_compiled(from);
	program = kvmalloc(struct_size(program, code, from->len), GFP_KERNEL_ACCOUNT);
	if (!program)
		return ERR_PTR(-ENOMEM);
	program->compiled = NULL;
	if (copy_from_user(program->code, from->filter, size)) {
		kvfree(program);
		return ERR_PTR(-EFAULT);
	}
	if (umc_may_interpret(program->code, from->len))
		return program;
	kvfree(program);
	return umc_code_compiled(from);
}

/* No sender can find it any more. */
void umc_chain_free(struct umc_chain *chain)
{
	u32 i;

	if (!chain)
		return;
	for (i = 0; i < chain->count; i++)
		umc_code_free(chain->programs[i]);
	umc_user_uncharge(chain->user, 0, chain->length);
	kfree(chain);
}

static void umc_chain_reap(struct umc_garbage *garbage)
{
	umc_chain_free(container_of(garbage, struct umc_chain, garbage));
}

static int umc_chain_append(struct umc_chain *chain, const struct umc_program *program,
			    bool compile)
{
	struct sock_fprog fprog = {
		.len = program->length,
		.filter = u64_to_user_ptr(program->instructions),
	};
	struct umc_code *code;
	int err;

	if (program->reserved || !program->length || program->length > BPF_MAXINSNS)
		return -EINVAL;
	err = umc_user_charge(chain->user, 0, program->length);
	if (err)
		return err;
	code = umc_code_from_user(&fprog, compile);
	if (IS_ERR(code)) {
		umc_user_uncharge(chain->user, 0, program->length);
		return PTR_ERR(code);
	}
	chain->programs[chain->count++] = code;
	chain->length += program->length;
	return 0;
}

static struct umc_chain *umc_chain_from_user(struct umc_user *user,
					     const struct umc_filter *filter)
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
	chain->user = user;
	chain->id = atomic64_inc_return(&umc_chain_ids);
	for (i = 0; i < filter->count && !err; i++) {
		if (copy_from_user(&program, from + i, sizeof(program)))
			err = -EFAULT;
		else
			/* The first one runs most, is never replaced, and looks at headers only. */
			err = umc_chain_append(chain, &program,
					       filter->which == UMC_FILTER_FIRST);
	}
	if (!err)
		return chain;
	umc_chain_free(chain);
	return ERR_PTR(err);
}

/* group->lock held.  Where the filter is, or ERR_PTR() */
static struct umc_chain __rcu **umc_chain_place(struct umc_group *group,
						const struct umc_filter *filter)
{
	struct umc_member *member;

	switch (filter->which) {
	case UMC_FILTER_FIRST:
		return group->members ? ERR_PTR(-EBUSY) : &group->first;
	case UMC_FILTER_REST:
		return &group->rest;
	case UMC_FILTER_SHARED:
		return &group->shared;
	}
	member = umc_member_locked(group, filter->index);
	if (!member || member->dead)
		return ERR_PTR(-ENOENT);
	if (filter->which == UMC_FILTER_INGRESS)
		return &member->ingress;
	return member->daemon ? &member->egress : ERR_PTR(-EOPNOTSUPP);
}

int umc_filter_set(struct umc_group *group, const struct umc_filter *filter)
{
	bool of_group = filter->which >= UMC_FILTER_REST;
	struct umc_chain __rcu **place;
	struct umc_member *member;
	struct umc_chain *chain;
	int err = 0;

	if (filter->flags || filter->prog_type || filter->prog_fd ||
	    filter->which > UMC_FILTER_SHARED)
		return -EINVAL;
	if (filter->index == UMC_ANY ? !of_group : of_group)
		return -EINVAL;
	if (of_group && group->address)
		return -EOPNOTSUPP;
	chain = umc_chain_from_user(group->user, filter);
	if (IS_ERR(chain))
		return PTR_ERR(chain);
	spin_lock(&group->lock);
	place = umc_chain_place(group, filter);
	if (IS_ERR(place)) {
		err = PTR_ERR(place);
	} else {
		if (chain)
			chain->generation = group->generation;
		chain = rcu_replace_pointer(*place, chain, lockdep_is_held(&group->lock));
		if (filter->which == UMC_FILTER_INGRESS) {
			member = umc_member_locked(group, filter->index);
			WRITE_ONCE(member->quiet, false);
			umc_wanted_changed(group, member);
		} else if (filter->which == UMC_FILTER_REST) {
			umc_wanted_changed(group, NULL);
		}
		umc_group_changed(group);
	}
	spin_unlock(&group->lock);
	if (err)
		umc_chain_free(chain);
	else if (chain)
		umc_reap(&chain->garbage, umc_chain_reap);
	return err;
}

/* Not the first filter, which says nothing about members.  1: the gate stays closed. */
int umc_revoke(struct umc_group *group)
{
	u64 alarms;
	bool read;

	if (group->address)
		return -EOPNOTSUPP;
	read = umc_watch_read(group, &alarms);
	spin_lock(&group->lock);
	WRITE_ONCE(group->generation, group->generation + 1);
	umc_wanted_changed(group, NULL);
	if (read)
		WRITE_ONCE(group->answered, alarms);
	umc_group_changed(group);
	spin_unlock(&group->lock);
	return umc_alarmed(group);
}
