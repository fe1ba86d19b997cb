// SPDX-License-Identifier: GPL-2.0
/* Deliveries that could not be finished: held, and handed to the daemon. */

#include <linux/file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include "umc.h"

/**
 * umc_spill - the daemon is to finish this delivery
 * @from:	sender
 * @message:	stamped
 * @to:		receiver, its rx taken; not held so far, thus not spilled either
 * @written:	bytes it has received
 *
 * Needs no memory: the record is part of the member.
 */
void umc_spill(struct umc_member *from, struct sk_buff *message, struct umc_member *to, u32 written)
{
	struct umc_group *group = to->group;

	/* It has left, and its index been forgotten: there is no reader. */
	if (!umc_member_hold(to))
		return;
	WRITE_ONCE(to->held, true);
	WRITE_ONCE(to->is_spilled, true);
	to->spills++;
	to->spilled.message = skb_get(message);
	to->spilled.sender = from->index;
	to->spilled.written = written;
	spin_lock(&group->spill_lock);
	list_add_tail(&to->spilled.node, &group->spills);
	spin_unlock(&group->spill_lock);
	wake_up_interruptible_poll(&group->event_wait, EPOLLIN | EPOLLRDNORM);
}

static struct umc_member *umc_spill_first(struct umc_group *group)
{
	struct umc_member *first;

	spin_lock(&group->spill_lock);
	first = list_first_entry_or_null(&group->spills, struct umc_member, spilled.node);
	if (first)
		list_del_init(&first->spilled.node);
	spin_unlock(&group->spill_lock);
	return first;
}

static void umc_spill_put_back(struct umc_member *to)
{
	spin_lock(&to->group->spill_lock);
	list_add(&to->spilled.node, &to->group->spills);
	spin_unlock(&to->group->spill_lock);
}

/*
 * The reader has it; the receiver stays held until the daemon has written, so that
 * no sender spills meanwhile.
 */
static void umc_spill_done(struct umc_member *to)
{
	struct sk_buff *message = to->spilled.message;

	to->spilled.message = NULL;
	/* Pairs with umc_hold(): the place is free for another. */
	smp_store_release(&to->is_spilled, false);
	kfree_skb(message);
	umc_member_put(to);
}

static ssize_t umc_spill_copy(const struct umc_member *to, char __user *buf, size_t size)
{
	const struct sk_buff *message = to->spilled.message;
	struct umc_spill spill = {
		.receiver = to->index,
		.sender = to->spilled.sender,
		.length = message->len,
		.written = to->spilled.written,
	};

	if (size < sizeof(spill) + message->len)
		return -EMSGSIZE;
	if (copy_to_user(buf, &spill, sizeof(spill)) ||
	    copy_to_user(buf + sizeof(spill), message->data, message->len))
		return -EFAULT;
	return sizeof(spill) + message->len;
}

/**
 * umc_spill_read - read(2) on a group: one spilled message, in order
 * @group:	the group
 * @buf:	gets a struct umc_spill and the message
 * @size:	of it; -EMSGSIZE if too small
 * @nonblock:	-EAGAIN instead of waiting
 *
 * Return: bytes, or a negative error, after which the message is still there
 */
ssize_t umc_spill_read(struct umc_group *group, char __user *buf, size_t size, bool nonblock)
{
	struct umc_member *to;
	ssize_t ret;

	while (!(to = umc_spill_first(group))) {
		if (nonblock)
			return -EAGAIN;
		ret = wait_event_interruptible(group->event_wait,
					       !list_empty_careful(&group->spills));
		if (ret)
			return ret;
	}
	ret = umc_spill_copy(to, buf, size);
	if (ret < 0)
		umc_spill_put_back(to);
	else
		umc_spill_done(to);
	return ret;
}

static bool umc_spill_retry(const struct umc_member *to)
{
	const struct sk_buff *message = to->spilled.message;
	size_t left = message->len - to->spilled.written;
	struct kvec vec = {
		.iov_base = message->data + to->spilled.written,
		.iov_len = left,
	};
	struct msghdr msg = { .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL };
	struct file *file = umc_sock_file(to->daemon);
	int ret;

	if (!file)
		return true;	/* closed: no reader waits for it */
	iov_iter_kvec(&msg.msg_iter, ITER_SOURCE, &vec, 1, left);
	ret = to->hook->original->sendmsg(sock_from_file(file), &msg, left);
	fput(file);
	return ret == left || ret == -EPIPE || ret == -ECONNRESET;
}

/*
 * The group is closed, and its owner has not read these.  Called when it is
 * closed, and by senders whose deliveries were under way then.
 */
void umc_spill_flush(struct umc_group *group)
{
	struct umc_member *to;

	while ((to = umc_spill_first(group))) {
		if (!umc_spill_retry(to))
			pr_warn_ratelimited("unix_multicast: group %u closed with a message unread\n",
					    group->id);
		umc_spill_done(to);
	}
}
