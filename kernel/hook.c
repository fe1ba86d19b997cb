// SPDX-License-Identifier: GPL-2.0
/*
 * Hooks: what a socket has from its first membership on.  Its ops become one of
 * ours for good: calls pass through us until release, since callers still inside
 * can't be detected.  __sock_release() puts ops->owner.
 *
 * The tables are static: core code may keep a pointer to a socket's ops for
 * longer than the socket lives, and they are read-only after initialisation.
 */

#include <linux/hashtable.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "umc.h"

DEFINE_SPINLOCK(umc_hooks_lock);
static DEFINE_HASHTABLE(umc_hooks, 12);

/* By type of socket, and whether it also reports what it has read (UMC_MODE_BLOCK). */
static const int umc_types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
static struct proto_ops umc_ops[ARRAY_SIZE(umc_types)][2] __ro_after_init;
static const struct proto_ops *umc_originals[ARRAY_SIZE(umc_types)] __ro_after_init;

/* The hook of a socket that is hooked, for as long as the socket is not released. */
struct umc_hook *umc_hook(const struct socket *sock)
{
	struct umc_hook *hook, *found = NULL;

	rcu_read_lock();
	hash_for_each_possible_rcu(umc_hooks, hook, node, (unsigned long)sock->sk) {
		if (hook->sk == sock->sk) {
			found = hook;
			break;
		}
	}
	rcu_read_unlock();
	return found;
}

static int umc_release_socket(struct socket *sock);

bool umc_is_hooked(const struct socket *sock)
{
	return READ_ONCE(sock->ops)->release == umc_release_socket;
}

struct umc_member *umc_hook_member(struct umc_hook *hook)
{
	struct umc_member *member;

	rcu_read_lock();
	member = rcu_dereference(hook->member);
	if (member && !kref_get_unless_zero(&member->ref))
		member = NULL;
	rcu_read_unlock();
	return member;
}

static void umc_hook_free(struct kref *ref)
{
	struct umc_hook *hook = container_of(ref, struct umc_hook, ref);

	umc_call_free(hook->spare);
	kfree_skb(hook->buffer);
	if (hook->page)
		put_page(hook->page);
	kfree_rcu(hook, rcu);
}

void umc_hook_put(struct umc_hook *hook)
{
	kref_put(&hook->ref, umc_hook_free);
}

struct umc_hook *umc_hook_new(void)
{
	struct umc_hook *hook = kzalloc(sizeof(*hook), GFP_KERNEL_ACCOUNT);

	if (!hook)
		return NULL;
	kref_init(&hook->ref);
	mutex_init(&hook->tx);
	init_waitqueue_head(&hook->room);
	return hook;
}

/**
 * umc_hook_install - the hook of a socket, with a reference for a membership
 * @sock:	the caller holds its file
 * @blocking:	the group's mode is UMC_MODE_BLOCK
 * @fresh:	becomes the hook, and NULL, if the socket has none yet
 *
 * umc_hooks_lock held.  Return: hook, or NULL for a socket that isn't plain AF_UNIX.
 */
struct umc_hook *umc_hook_install(struct socket *sock, bool blocking, struct umc_hook **fresh)
{
	struct umc_hook *hook;
	u32 type;

	for (type = 0; type < ARRAY_SIZE(umc_types); type++)
		if (umc_types[type] == sock->type)
			break;
	if (type == ARRAY_SIZE(umc_types))
		return NULL;
	if (umc_is_hooked(sock)) {
		hook = umc_hook(sock);
	} else {
		if (READ_ONCE(sock->ops) != umc_originals[type])
			return NULL;
		hook = *fresh;
		*fresh = NULL;
		hook->sk = sock->sk;
		hook->original = umc_originals[type];
		hash_add_rcu(umc_hooks, &hook->node, (unsigned long)hook->sk);
		__module_get(THIS_MODULE);
	}
	kref_get(&hook->ref);
	/* Senders find the hook once they have found our ops. */
	smp_store_release(&sock->ops, &umc_ops[type][blocking]);
	return hook;
}

/* proto_ops->release: the last reference to the socket's file is gone. */
static int umc_release_socket(struct socket *sock)
{
	struct umc_hook *hook = umc_hook(sock);
	struct umc_member *member = umc_hook_member(hook);
	int ret;

	if (member) {
		if (member->daemon)
			umc_member_detach(member);
		else
			umc_member_drop(member);
		umc_member_put(member);
	}
	ret = hook->original->release(sock);
	spin_lock(&umc_hooks_lock);
	hash_del_rcu(&hook->node);
	spin_unlock(&umc_hooks_lock);
	umc_hook_put(hook);
	return ret;
}

static void __init umc_ops_init(u32 type, const struct proto_ops *original)
{
	bool dgram = umc_types[type] == SOCK_DGRAM;
	u32 blocking;

	umc_originals[type] = original;
	for (blocking = 0; blocking < 2; blocking++) {
		struct proto_ops *ops = &umc_ops[type][blocking];

		*ops = *original;
		ops->owner = THIS_MODULE;
		ops->release = umc_release_socket;
		ops->sendmsg = dgram ? umc_dgram_sendmsg : umc_sendmsg;
#ifdef UMC_HAVE_SENDPAGE
		/* The original would append to a queued skb, past sendmsg. */
		ops->sendpage = sock_no_sendpage;
#endif
		if (!dgram && !blocking)
			continue;
		ops->recvmsg = umc_room_recvmsg;
		ops->poll = umc_room_poll;
		if (!dgram && original->splice_read)
			ops->splice_read = umc_room_splice_read;
	}
}

/* The original tables are not exported: fresh sockets have them. */
int __init umc_hooks_init(void)
{
	struct socket *sock;
	u32 type;
	int err;

	for (type = 0; type < ARRAY_SIZE(umc_types); type++) {
		err = sock_create_kern(&init_net, PF_UNIX, umc_types[type], 0, &sock);
		if (err)
			return err;
		umc_ops_init(type, sock->ops);
		if (umc_types[type] == SOCK_STREAM)
			umc_ends_init(sock->sk);
		sock_release(sock);
	}
	return 0;
}
