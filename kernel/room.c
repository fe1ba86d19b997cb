// SPDX-License-Identifier: GPL-2.0
/* UMC_MODE_BLOCK: wait until every receiver has room, as poll(POLLOUT) reports. */

#include <linux/poll.h>

#include "umc.h"

bool umc_has_room(const struct umc_member *member)
{
	const struct sock *sk = member->daemon;

	if (READ_ONCE(member->dead))
		return true;
	if (!sk)
		return skb_queue_len_lockless(&member->sk->sk_receive_queue) <=
		       READ_ONCE(member->sk->sk_max_ack_backlog);
	return sk_wmem_alloc_get(sk) < READ_ONCE(sk->sk_sndbuf);
}

/* Datagrams are charged to their sender, which needs room for them too. */
static bool umc_may_go_on(const struct umc_send *send)
{
	const struct umc_member *to = send->wait_for;
	const struct umc_member *from;
	bool room;

	rcu_read_lock();
	from = rcu_dereference(send->hook->member);
	room = !from || (umc_has_room(to) && (to->daemon || umc_may_charge(from->sk)));
	rcu_read_unlock();
	return room;
}

/* Inside umc_srcu: the send has to wait for this receiver. */
int umc_room_needed(struct umc_send *send, struct umc_member *to)
{
	send->wait_for = umc_member_hold(to) ? to : NULL;
	return UMC_WAIT_FOR_ROOM;
}

/**
 * umc_room_wait - sleep until the receiver that had no room has
 * @send:	wait_for is put; timeout becomes what is left
 *
 * No lock is held.  Return: UMC_WAIT_FOR_ROOM to try again, or a negative error
 */
int umc_room_wait(struct umc_send *send)
{
	struct umc_member *to = send->wait_for;
	long before = send->timeout, left = before;

	if (!to)
		return UMC_WAIT_FOR_ROOM;
	if (before)
		left = wait_event_interruptible_timeout(send->hook->room,
							umc_may_go_on(send), before);
	umc_member_put(to);
	send->wait_for = NULL;
	if (left < 0)
		return sock_intr_errno(before);
	if (!left)
		return -EAGAIN;
	if (before != MAX_SCHEDULE_TIMEOUT)
		send->timeout = left;
	return UMC_WAIT_FOR_ROOM;
}

/* A receiver has read, or left: every member may have waited for that. */
void umc_room_wake(struct umc_group *group)
{
	u32 i;

	rcu_read_lock();
	for (i = 0; i < READ_ONCE(group->top); i++) {
		struct umc_member *member = rcu_dereference(group->table[i]);

		if (member && wq_has_sleeper(&member->hook->room))
			wake_up_interruptible_poll(&member->hook->room, EPOLLOUT | EPOLLWRNORM);
	}
	rcu_read_unlock();
}

static void umc_room_made(struct umc_hook *hook)
{
	struct umc_member *member = umc_hook_member(hook);

	if (!member)
		return;
	umc_room_wake(member->group);
	umc_member_put(member);
}

int umc_room_recvmsg(struct socket *sock, struct msghdr *msg, size_t len, int flags)
{
	struct umc_hook *hook = umc_hook(sock);
	int ret = hook->original->recvmsg(sock, msg, len, flags);

	if (ret >= 0 && !(flags & MSG_PEEK))
		umc_room_made(hook);
	return ret;
}

ssize_t umc_room_splice_read(struct socket *sock, loff_t *pos, struct pipe_inode_info *pipe,
			     size_t len, unsigned int flags)
{
	struct umc_hook *hook = umc_hook(sock);
	ssize_t ret = hook->original->splice_read(sock, pos, pipe, len, flags);

	if (ret > 0)
		umc_room_made(hook);
	return ret;
}

static bool umc_all_have_room(struct umc_group *group, const struct umc_member *but)
{
	bool room = true;
	u32 i;

	rcu_read_lock();
	for (i = 0; i < READ_ONCE(group->top) && room; i++) {
		struct umc_member *member = rcu_dereference(group->table[i]);

		room = !member || member == but || umc_has_room(member);
	}
	rcu_read_unlock();
	return room;
}

/* The wait queue is the hook's, which lives as long as the file. */
__poll_t umc_room_poll(struct file *file, struct socket *sock, struct poll_table_struct *wait)
{
	struct umc_hook *hook = umc_hook(sock);
	__poll_t mask = hook->original->poll(file, sock, wait);
	struct umc_member *member = umc_hook_member(hook);

	if (!member)
		return mask;
	if (member->group->mode == UMC_MODE_BLOCK) {
		poll_wait(file, &hook->room, wait);
		if (!umc_all_have_room(member->group, member))
			mask &= ~(EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND);
	}
	umc_member_put(member);
	return mask;
}
