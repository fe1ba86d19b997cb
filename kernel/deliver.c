// SPDX-License-Identifier: GPL-2.0
/* One delivery: is it allowed, does it fit, and the original sendmsg that does it. */

#include <linux/file.h>
#include <linux/moduleparam.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include "umc.h"

#define UMC_SPINS	200
/* As af_unix has it: what one skb of a stream can carry. */
#define UMC_SKB_FRAGS	(PAGE_SIZE << get_order(32768))

#ifdef UMC_INJECT
static unsigned int inject;
module_param(inject, uint, 0644);
MODULE_PARM_DESC(inject, "make every n-th delivery fail for lack of memory");
static atomic_t deliveries;
#endif

#ifdef UMC_BREAK
/*
 * A build with deliberate bugs, to check the detectors: an inverted lock order,
 * a use after free, sleeping under a spinlock, a leak.
 */
static void umc_break(struct umc_member *to)
{
	static int once;
	u8 *gone;

	switch (once++) {
	case 0:
		mutex_lock(&to->group->multicast);
		mutex_lock(&to->group->config);
		mutex_unlock(&to->group->config);
		mutex_unlock(&to->group->multicast);
		break;
	case 1:
		gone = kmalloc(100, GFP_KERNEL);
		kfree(gone);
		to->received += READ_ONCE(gone[10]);
		break;
	case 2:
		spin_lock(&to->group->spill_lock);
		might_sleep();
		spin_unlock(&to->group->spill_lock);
		break;
	case 3:
		gone = kmalloc(123, GFP_KERNEL);
		OPTIMIZER_HIDE_VAR(gone);
		gone = NULL;
		break;
	}
}
#endif

/* A running holder is done in a moment; if it does not run, ask. */
bool umc_try_mutex(struct mutex *lock)
{
	int spins = UMC_SPINS;

	while (!mutex_trylock(lock)) {
		if (!spins-- || need_resched())
			return false;
		cpu_relax();
	}
	return true;
}

bool umc_try_rx(struct umc_member *member)
{
	int spins = UMC_SPINS;

	while (down_trylock(&member->rx)) {
		if (!spins-- || need_resched())
			return false;
		cpu_relax();
	}
	return true;
}

/**
 * umc_room - does a message fit?
 * @to:		receiver, its rx held
 * @length:	of the message, stamped
 *
 * The data queued at the daemon's end can only shrink while rx is held:
 * the daemon writes to held members only.  A stream must take the message in
 * one skb, or a partial write could follow.
 *
 * Return: 0, UMC_ASKED_FULL or UMC_ASKED_SIZE
 */
int umc_room(struct umc_member *to, size_t length)
{
	struct sock *sk = to->daemon;
	long size = READ_ONCE(sk->sk_sndbuf);
	long most = size - 32;

	if (sk->sk_type == SOCK_STREAM)
		most = min_t(long, (size >> 1) - 64, SKB_MAX_HEAD(0) + UMC_SKB_FRAGS);
	if ((long)length > most)
		return UMC_ASKED_SIZE;
	return sk_wmem_alloc_get(sk) < size ? 0 : UMC_ASKED_FULL;
}

/*
 * rx held.  The receiver's socket can't be released meanwhile, because release
 * takes rx first.  The sender's own send was checked by security_socket_sendmsg
 * before it came here; what remains is whether these two may talk.
 */
static int umc_may_deliver(struct umc_send *send, struct umc_member *to)
{
	struct socket *receiver = to->sk->sk_socket;

	if (umc_wants_credentials(receiver) || umc_wants_credentials(sock_from_file(to->file)))
		return UMC_ASKED_CREDENTIALS;
	if (security_unix_may_send(send->member->sk->sk_socket, receiver))
		return UMC_ASKED_SECURITY;
	return 0;
}

/**
 * umc_rx_begin - reserve a receiver
 * @send:	the message, tx of its sender held
 * @to:		receiver
 *
 * Return: 0 with rx held, or the reason to ask.
 */
int umc_rx_begin(struct umc_send *send, struct umc_member *to)
{
	int reason;

	if (!umc_try_rx(to))
		return UMC_ASKED_BUSY;
	if (to->dead) {
		reason = UMC_ASKED_DEAD;
		goto fail;
	}
	if (READ_ONCE(to->held)) {
		reason = UMC_ASKED_HELD;
		goto fail;
	}
	to->file = umc_sock_file(to->daemon);
	if (!to->file) {
		reason = UMC_ASKED_DEAD;
		goto fail;
	}
	reason = umc_may_deliver(send, to);
	if (!reason)
		return 0;
	fput(to->file);
fail:
	up(&to->rx);
	return reason;
}

void umc_rx_end(struct umc_member *to)
{
	struct file *file = to->file;

	up(&to->rx);
	fput(file);
}

/**
 * umc_deliver - queue a message at a receiver
 * @message:	stamped
 * @to:		receiver, reserved by umc_rx_begin()
 *
 * The original sendmsg of the daemon's end does it, in the sender's context and
 * without waiting: af_unix's own queueing, accounting and wake-ups.
 *
 * Return: bytes, or a negative error
 */
int umc_deliver(struct sk_buff *message, struct umc_member *to)
{
	struct kvec vec = { .iov_base = message->data, .iov_len = message->len };
	struct msghdr msg = { .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL };
	int ret;

#ifdef UMC_BREAK
	umc_break(to);
#endif
#ifdef UMC_INJECT
	if (inject && !(atomic_inc_return(&deliveries) % inject))
		return -ENOBUFS;
#endif
	iov_iter_kvec(&msg.msg_iter, ITER_SOURCE, &vec, 1, message->len);
	ret = to->hook->original->sendmsg(sock_from_file(to->file), &msg, message->len);
	if (ret > 0)
		to->received++;
	return ret;
}
