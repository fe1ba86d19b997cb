// SPDX-License-Identifier: GPL-2.0
/* The daemon's writes to members, and the return to direct sends. */

#include <linux/file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include "umc.h"

/* Entries written before their receivers are woken: this delays no receiver by more than 200 us. */
#define UMC_UNWOKEN	64

/*
 * Held first, then check for a delivery under way: none begins after that.
 * A held member's deliveries are the daemon's alone.  One whose sender is not
 * running, which may be for long, is not waited for.
 */
static int umc_hold(struct umc_member *member)
{
	WRITE_ONCE(member->held, true);
	/* Held before rx is looked at; a delivery takes rx, then looks at held. */
	smp_mb();
	if (!umc_try_rx(member))
		return -EBUSY;
	umc_rx_put(member);
	/* Pairs with umc_spill_done(). */
	return smp_load_acquire(&member->is_spilled) ? -EBUSY : 0;
}

static int umc_write_control(struct msghdr *msg, const struct umc_write_entry *entry)
{
	if (!entry->control_length)
		return 0;
	if (entry->control_length > UMC_MAX_CONTROL)
		return -EINVAL;
	/* Its layout is the native one. */
	if (in_compat_syscall())
		return -EOPNOTSUPP;
	msg->msg_control = memdup_user(u64_to_user_ptr(entry->control), entry->control_length);
	if (IS_ERR(msg->msg_control))
		return PTR_ERR(msg->msg_control);
	msg->msg_controllen = entry->control_length;
	return 0;
}

/* Stores the length of the message in *length; returns the bytes written of it. */
static ssize_t umc_write_one(struct umc_member *member, const struct umc_write_entry *entry,
			     size_t *length)
{
	struct msghdr msg = { .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL };
	struct iovec *iov = member->group->parts;
	struct file *file;
	ssize_t ret;

	ret = import_iovec(ITER_SOURCE, u64_to_user_ptr(entry->iov), entry->iov_count,
			   UMC_FEW, &iov, &msg.msg_iter);
	if (ret <= 0)
		goto free_iov;
	*length = ret;
	ret = umc_write_control(&msg, entry);
	if (ret)
		goto free_iov;
	file = umc_sock_file(member->daemon);
	if (file) {
		ret = member->hook->original->sendmsg(sock_from_file(file), &msg, *length);
		fput(file);
	} else {
		ret = -EPIPE;
	}
	kfree(msg.msg_control);
free_iov:
	kfree(iov);
	return ret;
}

/*
 * A receiver that got all of its part is no longer held, unless the last entry
 * says otherwise: what others send to it now comes behind that.
 */
static void umc_unhold(struct umc_member *member)
{
	if (member->write_left || member->write_stopped || member->write_hold)
		return;
	/* After all that was queued. */
	smp_store_release(&member->held, false);
}

/*
 * A woken receiver may run at once instead of the daemon, and would find the
 * others held: so all are written to first.
 */
static void umc_write_wake(const struct umc_writing *batch, u32 count)
{
	u32 i;

	for (i = 0; i < count; i++) {
		struct umc_member *member = batch[i].member;

		if (!member || !member->writer)
			continue;
		WRITE_ONCE(member->writer, NULL);
		if (member->unwoken)
			umc_data_ready(member->sk);
		member->unwoken = false;
	}
}

/* An entry that failed stops later ones for the same member; true: it was written. */
static bool umc_write_entry(struct umc_writing *w)
{
	struct umc_member *member = w->member;
	size_t length = 0;
	bool complete;

	if (!member)
		return false;
	if (member->write_stopped && !w->entry.result) {
		w->entry.result = -EAGAIN;
	} else if (!w->entry.result) {
		WRITE_ONCE(member->writer, current);
		w->entry.result = umc_write_one(member, &w->entry, &length);
	}
	complete = w->entry.result >= 0 && w->entry.result == length;
	if (!complete)
		member->write_stopped = true;
	member->write_hold = w->entry.flags & UMC_WRITE_HOLD;
	member->write_left--;
	umc_unhold(member);
	return complete;
}

static u32 umc_write_batch(struct umc_writing *batch, u32 count)
{
	u32 i, complete = 0, woken = 0;

	for (i = 0; i < count; i++) {
		complete += umc_write_entry(batch + i);
		if (i - woken == UMC_UNWOKEN - 1) {
			umc_write_wake(batch + woken, UMC_UNWOKEN);
			woken = i + 1;
		}
	}
	umc_write_wake(batch + woken, count - woken);
	return complete;
}

static int umc_write_fetch(struct umc_group *group, const struct umc_write *write,
			   struct umc_writing *batch)
{
	struct umc_write_entry __user *entries = u64_to_user_ptr(write->entries);
	u32 i;

	for (i = 0; i < write->count; i++)
		if (copy_from_user(&batch[i].entry, entries + i, sizeof(batch[i].entry)))
			return -EFAULT;
	for (i = 0; i < write->count; i++)
		if (batch[i].entry.flags & ~UMC_WRITE_HOLD)
			return -EINVAL;
	for (i = 0; i < write->count; i++) {
		batch[i].entry.result = -ENOENT;
		batch[i].member = umc_member_get(group, batch[i].entry.index);
		if (!batch[i].member)
			continue;
		batch[i].member->write_stopped = false;
		batch[i].member->write_left++;
		batch[i].entry.result = umc_hold(batch[i].member);
	}
	return 0;
}

static int umc_write_report(const struct umc_write *write, const struct umc_writing *batch)
{
	struct umc_write_entry __user *entries = u64_to_user_ptr(write->entries);
	u32 i;

	for (i = 0; i < write->count; i++)
		if (put_user(batch[i].entry.result, &entries[i].result))
			return -EFAULT;
	return 0;
}

/*
 * Clean, if none of its messages is on the way to the daemon, or waits there unread.
 * The daemon vouches for what it has read already.  See umc_ask_begin().
 *
 * Return: 0 or a negative error; 1 if it has sent directly since the last time
 */
static int umc_release_one(struct umc_group *group, u32 index)
{
	struct umc_member *member = umc_member_get(group, index);
	struct umc_hook *hook;
	int err = -EBUSY;

	if (!member)
		return -ENOENT;
	hook = member->hook;
	if (umc_try_mutex(&hook->tx)) {
		if (rcu_access_pointer(hook->member) != member) {
			err = -ENOENT;
		} else {
			WRITE_ONCE(hook->dirty, 0);
			/* Pairs with umc_ask_begin(). */
			smp_mb();
			if (!atomic_read(&hook->asking) &&
			    skb_queue_empty_lockless(&member->daemon->sk_receive_queue))
				err = member->direct != member->released_at;
			else
				WRITE_ONCE(hook->dirty, 1);
			if (err >= 0)
				member->released_at = member->direct;
		}
		mutex_unlock(&hook->tx);
	}
	umc_member_put(member);
	return err;
}

static int umc_release(struct umc_group *group, const struct umc_write *write)
{
	struct umc_release_entry __user *entries = u64_to_user_ptr(write->releases);
	struct umc_release_entry entry;
	u32 i;

	for (i = 0; i < write->release_count; i++) {
		if (copy_from_user(&entry, entries + i, sizeof(entry)))
			return -EFAULT;
		if (put_user(umc_release_one(group, entry.index), &entries[i].result))
			return -EFAULT;
	}
	return 0;
}

/* group->write held. */
static int umc_write_all(struct umc_group *group, const struct umc_write *write,
			 struct umc_writing *batch)
{
	int ret = umc_write_fetch(group, write, batch);
	u32 i, complete;

	if (ret)
		return ret;
	ret = umc_release(group, write);
	complete = umc_write_batch(batch, write->count);
	if (umc_write_report(write, batch))
		ret = -EFAULT;
	for (i = 0; i < write->count; i++)
		if (batch[i].member)
			umc_member_put(batch[i].member);
	return ret ? ret : complete;
}

/**
 * umc_write - UMC_WRITE
 * @group:	of connections
 * @write:	entries
 *
 * Holds every receiver before it writes to the first, so that a reaction to one
 * of these messages can't reach another receiver before that has got its own.
 * Releases members in between, so that they find the others held, and a member
 * that reacts to what is written finds itself released.
 *
 * Return: number of entries written completely, or a negative error
 */
int umc_write(struct umc_group *group, const struct umc_write *write)
{
	struct umc_writing *many = NULL;
	int ret;

	if (write->flags || write->reserved || write->count > UMC_MAX_ENTRIES ||
	    write->release_count > UMC_MAX_ENTRIES)
		return -EINVAL;
	if (group->address)
		return -EOPNOTSUPP;
	if (write->count > UMC_FEW) {
		many = kvmalloc_array(write->count, sizeof(*many), GFP_KERNEL_ACCOUNT);
		if (!many)
			return -ENOMEM;
	}
	mutex_lock(&group->write);
	ret = umc_write_all(group, write, many ? many : group->few);
	mutex_unlock(&group->write);
	kvfree(many);
	return ret;
}
