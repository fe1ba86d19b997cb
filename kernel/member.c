// SPDX-License-Identifier: GPL-2.0
/* Members: admission, the swap of proto_ops, leaving. */

#include <linux/file.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "umc.h"

/* The swap of proto_ops; see the lock order in umc.h. */
DEFINE_MUTEX(umc_swap_mutex);

/*
 * The file of a socket, or NULL when it is being closed.  unix_release_sock()
 * takes the state lock to orphan the sock, so under it sk_socket and its file
 * are valid; and holding the file keeps release from beginning.
 */
struct file *umc_sock_file(struct sock *sk)
{
	struct file *file = NULL;

	unix_state_lock(sk);
	if (!sock_flag(sk, SOCK_DEAD) && sk->sk_socket && sk->sk_socket->file)
		file = umc_get_file(&sk->sk_socket->file);
	unix_state_unlock(sk);
	return file;
}

static void umc_hook_free(struct kref *ref)
{
	struct umc_hook *hook = container_of(ref, struct umc_hook, ref);

	umc_call_free(hook->spare);
	kfree_skb(hook->buffer);
	kfree_rcu(hook, rcu);
}

void umc_hook_put(struct umc_hook *hook)
{
	kref_put(&hook->ref, umc_hook_free);
}

static void umc_member_free(struct kref *ref)
{
	struct umc_member *member = container_of(ref, struct umc_member, ref);

	umc_chain_free(member->egress);
	umc_chain_free(member->ingress);
	kfree_skb(member->spilled.message);
	if (member->hook)
		umc_hook_put(member->hook);
	if (member->daemon)
		sock_put(member->daemon);
	if (member->sk)
		sock_put(member->sk);
	umc_group_put(member->group);
	kfree_rcu(member, rcu);
}

void umc_member_put(struct umc_member *member)
{
	kref_put(&member->ref, umc_member_free);
}

struct umc_member *umc_member_get(struct umc_group *group, u32 index)
{
	struct umc_member *member;

	if (index >= group->max_members)
		return NULL;
	rcu_read_lock();
	member = rcu_dereference(group->table[index]);
	if (member && !kref_get_unless_zero(&member->ref))
		member = NULL;
	rcu_read_unlock();
	return member;
}

/* config held */
struct umc_member *umc_member_locked(struct umc_group *group, u32 index)
{
	if (index >= group->max_members)
		return NULL;
	return rcu_dereference_protected(group->table[index], lockdep_is_held(&group->config));
}

struct umc_member *umc_hook_member(struct umc_hook *hook)
{
	struct umc_member *member;

	rcu_read_lock();
	member = READ_ONCE(hook->member);
	if (member && !kref_get_unless_zero(&member->ref))
		member = NULL;
	rcu_read_unlock();
	return member;
}

struct umc_member *umc_member_new(struct umc_group *group, u32 index)
{
	struct umc_member *member = kzalloc(sizeof(*member), GFP_KERNEL_ACCOUNT);

	if (!member)
		return NULL;
	kref_init(&member->ref);
	kref_get(&group->ref);
	member->group = group;
	member->index = index;
	sema_init(&member->rx, 1);
	INIT_LIST_HEAD(&member->spilled.node);
	return member;
}

bool umc_is_hooked(const struct socket *sock)
{
	return READ_ONCE(sock->ops)->release == umc_release_socket;
}

/*
 * The first membership of a socket swaps its ops for good: calls pass through us
 * until release, since callers still inside can't be detected.  __sock_release()
 * puts ops->owner.  umc_swap_mutex held, and the file of sock.
 */
static struct umc_hook *umc_hook_install(struct socket *sock)
{
	struct umc_hook *hook;

	if (umc_is_hooked(sock)) {
		hook = umc_hook(sock);
		kref_get(&hook->ref);
		return hook;
	}
	hook = kzalloc(sizeof(*hook), GFP_KERNEL_ACCOUNT);
	if (!hook)
		return NULL;
	hook->original = sock->ops;
	hook->ops = *sock->ops;
	hook->ops.owner = THIS_MODULE;
	hook->ops.release = umc_release_socket;
#ifdef UMC_HAVE_SENDPAGE
	/* The original would append to a queued skb, past sendmsg. */
	hook->ops.sendpage = sock_no_sendpage;
#endif
	kref_init(&hook->ref);
	kref_get(&hook->ref);
	mutex_init(&hook->tx);
	init_waitqueue_head(&hook->room);
	__module_get(THIS_MODULE);
	/* Senders find the hook through ops. */
	smp_store_release(&sock->ops, &hook->ops);
	return hook;
}

static void umc_hook_override(struct umc_hook *hook, const struct proto_ops *overrides)
{
	WRITE_ONCE(hook->ops.sendmsg, overrides->sendmsg);
	if (overrides->recvmsg)
		WRITE_ONCE(hook->ops.recvmsg, overrides->recvmsg);
	if (overrides->splice_read && hook->original->splice_read)
		WRITE_ONCE(hook->ops.splice_read, overrides->splice_read);
	if (overrides->poll)
		WRITE_ONCE(hook->ops.poll, overrides->poll);
}

/* Inserts into the table; config held.  multicast keeps out a walk that is under way. */
static void umc_table_set(struct umc_group *group, u32 index, struct umc_member *member)
{
	mutex_lock(&group->multicast);
	rcu_assign_pointer(group->table[index], member);
	if (member && index >= group->top)
		group->top = index + 1;
	while (group->top && !rcu_access_pointer(group->table[group->top - 1]))
		group->top--;
	mutex_unlock(&group->multicast);
}

/**
 * umc_member_publish - a socket becomes a member
 * @member:	new, its sk set, and daemon unless a datagram socket
 * @sock:	its socket; the caller holds its file
 * @overrides:	the functions of proto_ops that we replace
 *
 * config held.  Return: 0 or a negative error; the caller's reference to the
 * member has become the table's on success.
 */
int umc_member_publish(struct umc_member *member, struct socket *sock,
		       const struct proto_ops *overrides)
{
	struct umc_group *group = member->group;
	struct umc_hook *hook;
	int err;

	if (group->closed)
		return -ESHUTDOWN;
	if (rcu_access_pointer(group->table[member->index]) || test_bit(member->index, group->dead))
		return -EEXIST;
	err = umc_user_charge(group->user, 1);
	if (err)
		return err;
	mutex_lock(&umc_swap_mutex);
	hook = umc_hook_install(sock);
	if (!hook) {
		err = -ENOMEM;
		goto unlock;
	}
	member->hook = hook;
	mutex_lock(&hook->tx);
	if (hook->member) {
		err = -EBUSY;
	} else {
		umc_hook_override(hook, overrides);
		WRITE_ONCE(hook->dirty, 1);
		atomic64_set(&hook->foreign, 0);
		if (member->daemon)
			umc_ends_watch(member);
		kref_get(&member->ref);
		WRITE_ONCE(hook->member, member);
	}
	mutex_unlock(&hook->tx);
unlock:
	mutex_unlock(&umc_swap_mutex);
	if (err) {
		umc_user_uncharge(group->user, 1);
		return err;
	}
	umc_table_set(group, member->index, member);
	group->members++;
	return 0;
}

static const struct proto_ops umc_overrides = {
	.sendmsg = umc_sendmsg,
};

static const struct proto_ops umc_blocking_overrides = {
	.sendmsg = umc_sendmsg,
	.recvmsg = umc_room_recvmsg,
	.splice_read = umc_room_splice_read,
	.poll = umc_room_poll,
};

static bool umc_is_connection(const struct socket *sock)
{
	return READ_ONCE(sock->ops)->family == PF_UNIX &&
	       (sock->type == SOCK_STREAM || sock->type == SOCK_SEQPACKET);
}

/*
 * Was this socket accepted from that listener?  An accepted socket shares the
 * listener's struct unix_address, and nothing else can: without this a process
 * could route the other end of any connection through filters of its own.
 */
static int umc_admission(const struct socket *listener, const struct socket *accepted)
{
	struct unix_address *address;

	if (!umc_is_connection(listener) || !umc_is_connection(accepted))
		return -EINVAL;
	if (READ_ONCE(listener->sk->sk_state) != TCP_LISTEN)
		return -EPERM;
	address = umc_address(listener->sk);
	if (!address || address != umc_address(accepted->sk))
		return -EPERM;
	return 0;
}

static int umc_add_peer(struct umc_group *group, const struct umc_add *add, struct socket *accepted)
{
	const struct proto_ops *overrides = group->mode == UMC_MODE_BLOCK ?
					    &umc_blocking_overrides : &umc_overrides;
	struct umc_member *member;
	struct sock *peer;
	struct file *file;
	int err = -ENOTCONN;

	peer = unix_peer_get(accepted->sk);
	if (!peer)
		return err;
	file = umc_sock_file(peer);
	if (!file)
		goto put_peer;
	err = -ENOMEM;
	member = umc_member_new(group, add->index);
	if (!member)
		goto put_file;
	member->mark = add->mark;
	member->sk = peer;
	sock_hold(peer);
	member->daemon = accepted->sk;
	sock_hold(accepted->sk);
	mutex_lock(&group->config);
	err = umc_member_publish(member, sock_from_file(file), overrides);
	mutex_unlock(&group->config);
	if (err)
		umc_member_put(member);
put_file:
	fput(file);
put_peer:
	sock_put(peer);
	return err;
}

int umc_member_add(struct umc_group *group, const struct umc_add *add)
{
	struct socket *listener, *accepted;
	int err;

	if (add->flags || add->reserved || add->index >= group->max_members)
		return -EINVAL;
	if (group->address)
		return -EOPNOTSUPP;
	listener = sockfd_lookup(add->listener_fd, &err);
	if (!listener)
		return err;
	accepted = sockfd_lookup(add->accepted_fd, &err);
	if (accepted) {
		err = umc_admission(listener, accepted);
		if (!err)
			err = umc_add_peer(group, add, accepted);
		sockfd_put(accepted);
	}
	sockfd_put(listener);
	return err;
}

/**
 * umc_member_detach - the socket is an ordinary one again
 * @member:	attached; config held
 *
 * Waits for sends and deliveries under way.  Its index stays dead.
 */
void umc_member_detach(struct umc_member *member)
{
	struct umc_group *group = member->group;
	struct umc_hook *hook = member->hook;

	mutex_lock(&hook->tx);
	WRITE_ONCE(hook->member, NULL);
	if (member->daemon)
		umc_ends_unwatch(member);
	mutex_unlock(&hook->tx);
	if (!group->address)
		set_bit(member->index, group->dead);
	umc_table_set(group, member->index, NULL);
	down(&member->rx);
	member->dead = true;
	up(&member->rx);
	umc_calls_purge(group, member->index, UMC_ANY);
	umc_stats_add(&group->retired, member);
	group->members--;
	umc_user_uncharge(group->user, 1);
	if (group->mode == UMC_MODE_BLOCK) {
		wake_up_interruptible_all(&hook->room);
		umc_room_wake(group);
	}
	umc_member_put(member);		/* the hook's */
	umc_member_put(member);		/* the table's */
}

int umc_member_remove(struct umc_group *group, u32 index)
{
	struct umc_member *member;
	int err = 0;

	if (index >= group->max_members)
		return -EINVAL;
	mutex_lock(&group->config);
	member = umc_member_locked(group, index);
	if (member)
		umc_member_detach(member);
	else if (!test_bit(index, group->dead))
		err = -ENOENT;
	mutex_unlock(&group->config);
	return err;
}

int umc_member_forget(struct umc_group *group, u32 index)
{
	int err = 0;

	if (index >= group->max_members)
		return -EINVAL;
	mutex_lock(&group->config);
	if (umc_member_locked(group, index)) {
		err = -EBUSY;
	} else if (!test_bit(index, group->dead)) {
		err = -ENOENT;
	} else {
		umc_calls_purge(group, UMC_ANY, index);
		clear_bit(index, group->dead);
	}
	mutex_unlock(&group->config);
	return err;
}

/* proto_ops->release: the last reference to the member's file is gone. */
int umc_release_socket(struct socket *sock)
{
	struct umc_hook *hook = umc_hook(sock);
	struct umc_member *member = umc_hook_member(hook);
	int ret;

	if (member) {
		struct umc_group *group = member->group;

		mutex_lock(&group->config);
		if (hook->member == member)
			umc_member_detach(member);
		mutex_unlock(&group->config);
		umc_member_put(member);
	}
	ret = hook->original->release(sock);
	umc_hook_put(hook);
	return ret;
}
