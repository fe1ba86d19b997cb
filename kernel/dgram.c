// SPDX-License-Identifier: GPL-2.0
/*
 * Datagram members: no connection and no daemon's end.  They join by the group's
 * address, and what a member sends there goes to all others, by the original
 * sendmsg of its own socket, so that receivers see the sender's address.  Room
 * can't be reserved, because any process may send to a member's own address.
 */

#include <linux/namei.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include "umc.h"

/* Joining a group needs write permission on its socket's file. */
static int umc_dgram_permission(struct umc_group *group, const struct umc_join *join)
{
	const struct sockaddr_un *name = (const void *)join->address;
	struct unix_sock *u = unix_sk(group->address);
	char buf[sizeof(name->sun_path) + 1] = {};
	struct path path;
	int err;

	if (group->flags & UMC_CREATE_CLOSED)
		return -EPERM;
	if (!name->sun_path[0])
		return 0;
	memcpy(buf, name->sun_path, join->length - offsetof(struct sockaddr_un, sun_path));
	err = kern_path(buf, LOOKUP_FOLLOW, &path);
	if (err)
		return err;
	err = path_permission(&path, MAY_WRITE);
	unix_state_lock(&u->sk);
	if (!u->path.dentry || d_backing_inode(u->path.dentry) != d_backing_inode(path.dentry))
		err = -ECONNREFUSED;
	unix_state_unlock(&u->sk);
	path_put(&path);
	return err;
}

/* A member is reached by its address, from whatever directory the sender is in. */
static int umc_dgram_bind(struct socket *sock)
{
	struct sockaddr_un any = { .sun_family = AF_UNIX };
	struct unix_address *address;
	int err;

	if (!umc_address(sock->sk)) {
		err = kernel_bind(sock, (struct umc_sockaddr *)&any, sizeof(any.sun_family));
		if (err)
			return err;
	}
	address = umc_address(sock->sk);
	return !address->name->sun_path[0] || address->name->sun_path[0] == '/' ? 0 : -EINVAL;
}

static int umc_dgram_deliver(struct umc_send *send, struct umc_member *to)
{
	struct unix_address *address = umc_address(to->sk);
	struct kvec vec = { send->message->data, send->message->len };
	struct msghdr msg = {
		.msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL,
		.msg_name = address->name,
		.msg_namelen = address->len,
	};

	iov_iter_kvec(&msg.msg_iter, ITER_SOURCE, &vec, 1, vec.iov_len);
	return send->hook->original->sendmsg(send->member->sk->sk_socket, &msg, vec.iov_len);
}

static bool umc_dgram_is_receiver(struct umc_send *send, struct umc_member *to)
{
	const struct umc_chain *ingress = srcu_dereference(to->ingress, &umc_srcu);

	if (READ_ONCE(to->dead))
		return false;
	if (to == send->member && !(to->join_flags & UMC_JOIN_LOOPBACK))
		return false;
	if (!ingress)
		return true;
	return (umc_filter_run(ingress, send->message, &send->looked) & UMC_KIND_MASK) == UMC_YES;
}

/* From index @first on; multicast held, inside umc_srcu. */
static u32 umc_dgram_receivers(struct umc_send *send, u32 first)
{
	struct umc_group *group = send->member->group;
	u32 i, count = 0;

	send->message->sk = send->member->sk;
	send->message->mark = READ_ONCE(send->member->mark);
	for (i = first; i < READ_ONCE(group->top); i++) {
		struct umc_member *to = srcu_dereference(group->table[i], &umc_srcu);

		if (to && umc_dgram_is_receiver(send, to))
			group->hits[count++] = to;
	}
	send->message->sk = NULL;
	return count;
}

/*
 * multicast held.  In UMC_MODE_BLOCK nothing is sent before all have room; a
 * receiver that lost it meanwhile is waited for, and *first says where to resume.
 */
static int umc_dgram_send_all(struct umc_send *send, u32 *first)
{
	struct umc_group *group = send->member->group;
	u32 i, count = umc_dgram_receivers(send, *first);
	bool block = group->mode == UMC_MODE_BLOCK;
	struct sock *sk = send->member->sk;

	for (i = 0; i < count && block; i++)
		if (!umc_has_room(group->hits[i]) || !umc_may_charge(sk))
			return umc_room_needed(send, group->hits[i]);
	for (i = 0; i < count; i++) {
		struct umc_member *to = group->hits[i];
		int ret = umc_dgram_deliver(send, to);

		if (ret == -EAGAIN && block && send->timeout) {
			*first = to->index;
			return umc_room_needed(send, to);
		}
		if (ret < 0) {
			to->dropped++;
		} else {
			to->received++;
			send->member->copies++;
		}
	}
	send->member->direct++;
	send->member->multicast++;
	return 0;
}

/* Senders may wait for one another here, since their owner does not. */
static int umc_dgram_multicast(struct umc_send *send, u32 *first)
{
	int reader = srcu_read_lock(&umc_srcu);
	struct umc_hook *hook = send->hook;
	int err = -ENOTCONN;

	send->member = srcu_dereference(hook->member, &umc_srcu);
	if (!send->member)
		goto unlock_srcu;
	err = -ERESTARTSYS;
	if (mutex_lock_interruptible(&hook->tx))
		goto unlock_srcu;
	if (mutex_lock_interruptible(&send->member->group->multicast))
		goto unlock_tx;
	err = umc_dgram_send_all(send, first);
	mutex_unlock(&send->member->group->multicast);
unlock_tx:
	mutex_unlock(&hook->tx);
unlock_srcu:
	srcu_read_unlock(&umc_srcu, reader);
	return err;
}

static int umc_dgram_errno(int reason)
{
	switch (reason) {
	case UMC_ASKED_SIZE:
		return -EMSGSIZE;
	case UMC_ASKED_MEMORY:
		return -ENOMEM;
	case UMC_ASKED_FAULT:
		return -EFAULT;
	}
	return -EOPNOTSUPP;
}

/* To the group: by its address, or without one from a socket that is not connected. */
static bool umc_dgram_is_for_group(struct umc_hook *hook, struct socket *sock,
				   const struct msghdr *msg)
{
	struct umc_member *member = umc_hook_member(hook);
	bool is = false;

	if (!member)
		return false;
	if (!(current->flags & (PF_KTHREAD | PF_MEMALLOC)))
		is = msg->msg_namelen ?
			umc_address_is(member->group->address, msg->msg_name, msg->msg_namelen) :
			!READ_ONCE(unix_peer(sock->sk));
	umc_member_put(member);
	return is;
}

int umc_dgram_sendmsg(struct socket *sock, struct msghdr *msg, size_t len)
{
	struct umc_hook *hook = umc_hook(sock);
	struct umc_send send = { .hook = hook };
	struct msghdr plain = *msg;
	u32 first = 0;
	int err;

	if (!rcu_access_pointer(hook->member) || !umc_dgram_is_for_group(hook, sock, msg))
		return hook->original->sendmsg(sock, msg, len);
	plain.msg_namelen = 0;
	send.timeout = sock_sndtimeo(sock->sk, msg->msg_flags & MSG_DONTWAIT);
	err = umc_buffer_fill(hook, &plain, len, &send.message);
	if (err) {
		err = umc_dgram_errno(err);
		goto out;
	}
	do {
		err = umc_dgram_multicast(&send, &first);
		if (err == UMC_WAIT_FOR_ROOM)
			err = umc_room_wait(&send);
	} while (err == UMC_WAIT_FOR_ROOM);
	if (!err) {
		msg->msg_iter = plain.msg_iter;
		err = len;
	} else if (first) {
		/* Some members received it; the rest is lost, and the sender must not repeat it. */
		err = len;
	}
out:
	umc_buffer_put(hook, send.message);
	return err;
}

static int umc_dgram_publish(struct umc_group *group, struct umc_join *join, struct socket *sock)
{
	struct umc_member *member = umc_member_new(group, 0);
	int err;

	if (!member)
		return -ENOMEM;
	member->join_flags = join->flags;
	member->sk = sock->sk;
	sock_hold(member->sk);
	err = umc_member_publish(member, sock);
	if (err)
		umc_member_put(member);
	else
		join->index = member->index;
	return err;
}

int umc_dgram_join(struct umc_join *join)
{
	struct umc_group *group;
	struct socket *sock;
	int err;

	if (join->flags & ~UMC_JOIN_LOOPBACK || join->index ||
	    join->length <= offsetof(struct sockaddr_un, sun_path) ||
	    join->length > sizeof(struct sockaddr_un))
		return -EINVAL;
	sock = sockfd_lookup(join->fd, &err);
	if (!sock)
		return err;
	err = -EINVAL;
	if (READ_ONCE(sock->ops)->family != PF_UNIX || sock->type != SOCK_DGRAM)
		goto put_sock;
	group = umc_group_get_by_address(sock_net(sock->sk), join);
	err = -ECONNREFUSED;
	if (!group)
		goto put_sock;
	err = umc_dgram_permission(group, join);
	if (!err)
		err = umc_dgram_bind(sock);
	if (!err)
		err = umc_dgram_publish(group, join, sock);
	umc_group_put(group);
put_sock:
	sockfd_put(sock);
	return err;
}

int umc_dgram_leave(const struct umc_leave *leave)
{
	struct umc_member *member = NULL;
	struct socket *sock;
	int err;

	if (leave->flags)
		return -EINVAL;
	sock = sockfd_lookup(leave->fd, &err);
	if (!sock)
		return err;
	/* Only the daemon removes a connection from its group. */
	if (sock->type == SOCK_DGRAM && umc_is_hooked(sock))
		member = umc_hook_member(umc_hook(sock));
	err = -ENOTCONN;
	if (member) {
		umc_member_drop(member);
		umc_member_put(member);
		err = 0;
	}
	sockfd_put(sock);
	return err;
}
