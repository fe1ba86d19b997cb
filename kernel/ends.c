// SPDX-License-Identifier: GPL-2.0
/*
 * The callbacks for arriving data, at both ends of a member's connection.
 *
 * At the daemon's end it makes the member dirty before its sender goes on.
 * Counting sends in our sendmsg is not enough: a thread may have been inside the
 * original sendmsg when its socket became a member, and may queue its message
 * after umc_release_one() saw an empty queue.  af_unix calls sk_data_ready after it
 * has queued, in the sender's context, for every way there is to send.  The
 * member's own socket, which such a sender has open, pins this module.  The
 * daemon itself hears of it a little later, see umc_ask().
 *
 * At the member's end UMC_WRITE delays the wake-up, and so does a sender in a
 * burst.  See umc_write_wake() and wake.c.
 */

#include <linux/hashtable.h>
#include <linux/module.h>

#include "umc.h"

static DEFINE_HASHTABLE(umc_ends, 10);
static DEFINE_SPINLOCK(umc_ends_lock);
static void (*umc_plain_data_ready)(struct sock *sk) __ro_after_init;

/* rcu held */
static struct umc_end *umc_end_find(const struct sock *sk)
{
	struct umc_end *end;

	hash_for_each_possible_rcu(umc_ends, end, node, (unsigned long)sk)
		if (end->sk == sk)
			return end;
	return NULL;
}

static void umc_daemon_data_ready(struct sock *sk)
{
	void (*data_ready)(struct sock *sk) = umc_plain_data_ready;
	bool later = false;
	struct umc_end *end;

	rcu_read_lock();
	end = umc_end_find(sk);
	if (end) {
		struct umc_hook *hook = container_of(end, struct umc_member, daemon_end)->hook;

		WRITE_ONCE(hook->dirty, 1);
		data_ready = end->data_ready;
		later = READ_ONCE(hook->asker) == current && !hook->untold.sk;
		if (later) {
			sock_hold(sk);
			hook->untold = (struct umc_untold){ sk, data_ready };
		}
	}
	rcu_read_unlock();
	if (!later)
		data_ready(sk);
}

static void umc_member_data_ready(struct sock *sk)
{
	void (*data_ready)(struct sock *sk) = umc_plain_data_ready;
	struct umc_member *member;
	struct umc_end *end;
	bool later = false;

	rcu_read_lock();
	end = umc_end_find(sk);
	if (end) {
		member = container_of(end, struct umc_member, member_end);
		data_ready = end->data_ready;
		if (READ_ONCE(member->writer) == current) {
			member->unwoken = true;
			later = true;
		} else if (READ_ONCE(member->sender) == current) {
			member->asleep = true;
			later = true;
		}
	}
	rcu_read_unlock();
	if (!later)
		data_ready(sk);
}

static void umc_end_watch(struct umc_end *end, struct sock *sk,
			  void (*data_ready)(struct sock *sk))
{
	end->sk = sk;
	end->data_ready = umc_plain_data_ready;
	spin_lock(&umc_ends_lock);
	hash_add_rcu(umc_ends, &end->node, (unsigned long)sk);
	spin_unlock(&umc_ends_lock);
	write_lock_bh(&sk->sk_callback_lock);
	WRITE_ONCE(end->data_ready, sk->sk_data_ready);
	WRITE_ONCE(sk->sk_data_ready, data_ready);
	write_unlock_bh(&sk->sk_callback_lock);
}

static void umc_end_unwatch(struct umc_end *end, void (*data_ready)(struct sock *sk))
{
	struct sock *sk = end->sk;

	write_lock_bh(&sk->sk_callback_lock);
	if (sk->sk_data_ready == data_ready)
		WRITE_ONCE(sk->sk_data_ready, end->data_ready);
	else
		/* A sockmap was attached later and will restore our callback: never unload. */
		__module_get(THIS_MODULE);
	write_unlock_bh(&sk->sk_callback_lock);
	spin_lock(&umc_ends_lock);
	hash_del_rcu(&end->node);
	spin_unlock(&umc_ends_lock);
}

/* umc_hooks_lock held, as by unwatch: there is one membership at a time. */
void umc_ends_watch(struct umc_member *member)
{
	umc_end_watch(&member->daemon_end, member->daemon, umc_daemon_data_ready);
	umc_end_watch(&member->member_end, member->sk, umc_member_data_ready);
}

void umc_ends_unwatch(struct umc_member *member)
{
	umc_end_unwatch(&member->daemon_end, umc_daemon_data_ready);
	umc_end_unwatch(&member->member_end, umc_member_data_ready);
}

/* Reads the default sk_data_ready from a fresh socket; the function is not exported. */
void __init umc_ends_init(const struct sock *plain)
{
	umc_plain_data_ready = plain->sk_data_ready;
}
