// SPDX-License-Identifier: GPL-2.0
/* Members: admission, leaving. */

#include <linux/file.h>
#include <linux/slab.h>

#include "umc.h"

static atomic64_t umc_member_ids;

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

/* A filter or a stamp without a member belongs to no one, and senders can't find it. */
static void umc_member_free(struct umc_garbage *garbage)
{
	struct umc_member *member = container_of(garbage, struct umc_member, garbage);

	umc_chain_free(rcu_dereference_protected(member->egress, true));
	umc_chain_free(rcu_dereference_protected(member->ingress, true));
	kfree(rcu_dereference_protected(member->mold, true));
	umc_memory_free(member->memory);
	umc_idle_calls_free(member);
	kfree_skb(member->spilled.message);
	if (member->buckets != member->few)
		kvfree(member->buckets);
	if (member->hook)
		umc_hook_put(member->hook);
	if (member->daemon)
		sock_put(member->daemon);
	if (member->sk)
		sock_put(member->sk);
	umc_group_put(member->group);
	kfree(member);
}

static void umc_member_release(struct kref *ref)
{
	struct umc_member *member = container_of(ref, struct umc_member, ref);

	umc_reap(&member->garbage, umc_member_free);
}

void umc_member_put(struct umc_member *member)
{
	kref_put(&member->ref, umc_member_release);
}

/* NULL if there is none, or it is dead. */
struct umc_member *umc_member_get(struct umc_group *group, u32 index)
{
	struct umc_member *member;

	if (index >= group->max_members)
		return NULL;
	rcu_read_lock();
	member = rcu_dereference(group->table[index]);
	if (member && (READ_ONCE(member->dead) || !kref_get_unless_zero(&member->ref)))
		member = NULL;
	rcu_read_unlock();
	return member;
}

/* group->lock held; NULL if there is none, dead ones too. */
struct umc_member *umc_member_locked(struct umc_group *group, u32 index)
{
	if (index >= group->max_members)
		return NULL;
	return rcu_dereference_protected(group->table[index], lockdep_is_held(&group->lock));
}

struct umc_member *umc_member_new(struct umc_group *group, u32 index)
{
	struct umc_member *member = kzalloc(sizeof(*member), GFP_KERNEL_ACCOUNT);

	if (!member)
		return NULL;
	kref_init(&member->ref);
	kref_get(&group->ref);
	member->id = atomic64_inc_return(&umc_member_ids);
	member->group = group;
	member->index = index;
	INIT_LIST_HEAD(&member->spilled.node);
	INIT_LIST_HEAD(&member->waking);
	INIT_LIST_HEAD(&member->recent);
	INIT_LIST_HEAD(&member->named);
	member->class = UMC_ANY;
	umc_calls_begin(member);
	return member;
}

/* group->lock held */
static void umc_table_set(struct umc_group *group, u32 index, struct umc_member *member)
{
	u32 top = max(group->top, index + 1);

	if (member)
		umc_wanted_changed(group, member);
	else
		list_del_init(&umc_member_locked(group, index)->recent);
	rcu_assign_pointer(group->table[index], member);
	while (top && !rcu_access_pointer(group->table[top - 1]))
		top--;
	WRITE_ONCE(group->top, top);
	umc_group_changed(group);
}

/* The socket's first and only membership at a time; group->lock held. */
static int umc_member_attach(struct umc_member *member, struct socket *sock,
			     struct umc_hook **fresh)
{
	struct umc_hook *hook;
	int err = 0;

	spin_lock(&umc_hooks_lock);
	hook = umc_hook_install(sock, member->group->mode == UMC_MODE_BLOCK, fresh);
	if (!hook) {
		err = -EOPNOTSUPP;
		goto unlock;
	}
	member->hook = hook;
	if (rcu_access_pointer(hook->member)) {
		err = -EBUSY;
		goto unlock;
	}
	WRITE_ONCE(hook->dirty, 1);
	atomic64_set(&hook->foreign, 0);
	if (member->daemon)
		umc_ends_watch(member);
	kref_get(&member->ref);
	rcu_assign_pointer(hook->member, member);
unlock:
	spin_unlock(&umc_hooks_lock);
	return err;
}

/**
 * umc_member_publish - a socket becomes a member
 * @member:	new, its sk set, and daemon unless a datagram socket, which gets
 *		the lowest free index
 * @sock:	its socket; the caller holds its file
 *
 * Return: 0 or a negative error; the caller's reference to the member has become
 * the table's on success.
 */
int umc_member_publish(struct umc_member *member, struct socket *sock)
{
	struct umc_group *group = member->group;
	struct umc_hook *fresh = umc_hook_new();
	int err = -ENOMEM;

	if (!fresh)
		return err;
	err = umc_user_charge(group->user, 1, 0);
	if (err)
		goto put_hook;
	spin_lock(&group->lock);
	while (!member->daemon && member->index < group->max_members &&
	       rcu_access_pointer(group->table[member->index]))
		member->index++;
	if (group->closed)
		err = -ESHUTDOWN;
	else if (member->index >= group->max_members)
		err = -ENOSPC;
	else if (rcu_access_pointer(group->table[member->index]))
		err = -EEXIST;
	else
		err = umc_member_attach(member, sock, &fresh);
	if (!err) {
		umc_table_set(group, member->index, member);
		group->members++;
	}
	spin_unlock(&group->lock);
	if (err)
		umc_user_uncharge(group->user, 1, 0);
put_hook:
	if (fresh)
		umc_hook_put(fresh);
	return err;
}

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
	member->quiet = add->flags & UMC_ADD_QUIET;
	member->sk = peer;
	sock_hold(peer);
	member->daemon = accepted->sk;
	sock_hold(accepted->sk);
	err = umc_member_publish(member, sock_from_file(file));
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

	if (add->flags & ~UMC_ADD_QUIET || add->reserved || add->index >= group->max_members)
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

/* group->lock held.  False: it was dead already. */
static bool umc_member_kill(struct umc_member *member)
{
	struct umc_group *group = member->group;

	if (member->dead)
		return false;
	/* No call is recorded after this, neither of it nor, by a sender, to it. */
	spin_lock(&group->calls_lock);
	WRITE_ONCE(member->dead, true);
	spin_unlock(&group->calls_lock);
	spin_lock(&umc_hooks_lock);
	RCU_INIT_POINTER(member->hook->member, NULL);
	if (member->daemon)
		umc_ends_unwatch(member);
	spin_unlock(&umc_hooks_lock);
	umc_group_changed(group);
	return true;
}

static void umc_member_bury(struct umc_member *member)
{
	umc_calls_purge(member);
	umc_names_purge(member);
	if (member->group->mode == UMC_MODE_BLOCK) {
		wake_up_interruptible_all(&member->hook->room);
		umc_room_wake(member->group);
	}
	umc_member_put(member);		/* the hook's */
}

/* The socket is an ordinary one again; its index stays dead. */
void umc_member_detach(struct umc_member *member)
{
	struct umc_group *group = member->group;
	bool killed;

	spin_lock(&group->lock);
	killed = umc_member_kill(member);
	spin_unlock(&group->lock);
	if (killed)
		umc_member_bury(member);
}

/* As above, and its index is free. */
void umc_member_drop(struct umc_member *member)
{
	struct umc_group *group = member->group;
	bool killed, dropped;

	spin_lock(&group->lock);
	killed = umc_member_kill(member);
	dropped = umc_member_locked(group, member->index) == member;
	if (dropped) {
		umc_table_set(group, member->index, NULL);
		group->members--;
		umc_stats_add(&group->retired, member);
	}
	spin_unlock(&group->lock);
	if (killed)
		umc_member_bury(member);
	if (dropped) {
		umc_debts_purge(member);
		umc_user_uncharge(group->user, 1, 0);
		umc_member_put(member);		/* the table's */
	}
}

/* The member at an index, with a reference; dead ones too. */
static struct umc_member *umc_member_any(struct umc_group *group, u32 index)
{
	struct umc_member *member;

	spin_lock(&group->lock);
	member = umc_member_locked(group, index);
	if (member)
		kref_get(&member->ref);
	spin_unlock(&group->lock);
	return member;
}

/* -EBUSY: dead, but a delivery to it that was decided before is still under way. */
int umc_member_remove(struct umc_group *group, u32 index)
{
	struct umc_member *member;
	int err;

	if (index >= group->max_members)
		return -EINVAL;
	member = umc_member_any(group, index);
	if (!member)
		return -ENOENT;
	if (member->daemon)
		umc_member_detach(member);
	else
		umc_member_drop(member);
	err = umc_rx_is_taken(member) ? -EBUSY : 0;
	umc_member_put(member);
	return err;
}

int umc_member_forget(struct umc_group *group, u32 index)
{
	struct umc_member *member;
	int err = 0;

	if (index >= group->max_members)
		return -EINVAL;
	member = umc_member_any(group, index);
	if (!member)
		return -ENOENT;
	if (READ_ONCE(member->dead))
		umc_member_drop(member);
	else
		err = -EBUSY;
	umc_member_put(member);
	return err;
}
