// SPDX-License-Identifier: GPL-2.0
/*
 * The daemon's ends of the members' connections: whatever arrives there makes
 * the member dirty before its sender goes on.
 *
 * Counting sends in our sendmsg is not enough: a thread may have been inside the
 * original sendmsg when its socket became a member, and may queue its message
 * after UMC_RELEASE saw an empty queue.  af_unix calls sk_data_ready after it
 * has queued, in the sender's context, for every way there is to send.  The
 * member's own socket, which such a sender has open, pins this module.
 */

#include <linux/hashtable.h>
#include <linux/module.h>

#include "umc.h"

static DEFINE_HASHTABLE(umc_ends, 10);
static DEFINE_SPINLOCK(umc_ends_lock);
static void (*umc_plain_data_ready)(struct sock *sk);

static void umc_end_data_ready(struct sock *sk)
{
	void (*data_ready)(struct sock *sk) = umc_plain_data_ready;
	struct umc_member *member;

	rcu_read_lock();
	hash_for_each_possible_rcu(umc_ends, member, ends, (unsigned long)sk) {
		if (member->daemon != sk)
			continue;
		WRITE_ONCE(member->hook->dirty, 1);
		data_ready = member->data_ready;
		break;
	}
	rcu_read_unlock();
	data_ready(sk);
}

void umc_end_watch(struct umc_member *member)
{
	struct sock *sk = member->daemon;

	spin_lock(&umc_ends_lock);
	hash_add_rcu(umc_ends, &member->ends, (unsigned long)sk);
	spin_unlock(&umc_ends_lock);
	write_lock_bh(&sk->sk_callback_lock);
	member->data_ready = sk->sk_data_ready;
	WRITE_ONCE(sk->sk_data_ready, umc_end_data_ready);
	write_unlock_bh(&sk->sk_callback_lock);
}

void umc_end_unwatch(struct umc_member *member)
{
	struct sock *sk = member->daemon;

	write_lock_bh(&sk->sk_callback_lock);
	if (sk->sk_data_ready == umc_end_data_ready)
		WRITE_ONCE(sk->sk_data_ready, member->data_ready);
	else
		/* A sockmap came after us and will put us back: stay for good. */
		__module_get(THIS_MODULE);
	write_unlock_bh(&sk->sk_callback_lock);
	spin_lock(&umc_ends_lock);
	hash_del_rcu(&member->ends);
	spin_unlock(&umc_ends_lock);
}

/* What a socket that nobody has touched does; the function is not exported. */
int umc_ends_init(void)
{
	struct socket *sock;
	int err = sock_create_kern(&init_net, PF_UNIX, SOCK_STREAM, 0, &sock);

	if (err)
		return err;
	umc_plain_data_ready = sock->sk->sk_data_ready;
	sock_release(sock);
	return 0;
}
