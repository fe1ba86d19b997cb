// SPDX-License-Identifier: GPL-2.0
/* One delivery: is it allowed, does it fit, and the original sendmsg that does it. */

#include <linux/file.h>
#include <linux/moduleparam.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include "umc.h"

#define UMC_SPINS	200

#ifdef UMC_INJECT
static unsigned int inject;
module_param(inject, uint, 0644);
MODULE_PARM_DESC(inject, "make every n-th delivery fail for lack of memory");
static atomic_t deliveries;
static bool refuse;
module_param(refuse, bool, 0644);
MODULE_PARM_DESC(refuse, "refuse all deliveries, as a security module would");
static atomic_t refusals;
static int umc_refusals_get(char *buffer, const struct kernel_param *param)
{
	return scnprintf(buffer, PAGE_SIZE, "%d\n", atomic_read(&refusals));
}

static const struct kernel_param_ops umc_refusals_ops = { .get = umc_refusals_get };
module_param_cb(refusals, &umc_refusals_ops, NULL, 0444);
MODULE_PARM_DESC(refusals, "how often that was asked");
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
		mutex_lock(&to->hook->tx);
		mutex_unlock(&to->hook->tx);
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

bool umc_try_rx_again(struct umc_member *member)
{
	int spins = UMC_SPINS;

	do {
		if (!spins-- || need_resched())
			return false;
		cpu_relax();
	} while (atomic_cmpxchg(&member->rx, 0, 1));
	return true;
}

/*
 * With rx of all receivers taken: is all that this message was judged by still
 * in force?  If so, its deliveries come before whatever the owner does next.
 */
bool umc_committed(const struct umc_send *send)
{
	/* Also after a multicast without receivers. */
	smp_rmb();
	return atomic_read(&send->member->group->epoch) == send->epoch;
}

/*
 * A refusal is remembered until the sender's egress filter is replaced, because a
 * security module may log each one.  tx held.
 */
static bool umc_is_refused(struct umc_send *send, const struct umc_member *to)
{
	struct umc_member *from = send->member;

	if (likely(!from->refuses))
		return false;
	if (from->refused_by != rcu_access_pointer(from->egress)) {
		memset(from->refused, 0, sizeof(from->refused));
		from->refuses = false;
		return false;
	}
	return from->refused[to->index % UMC_REFUSALS] == to->id;
}

static void umc_refuse(struct umc_send *send, const struct umc_member *to)
{
	struct umc_member *from = send->member;

	from->refuses = true;
	from->refused_by = rcu_access_pointer(from->egress);
	from->refused[to->index % UMC_REFUSALS] = to->id;
}

static int umc_ask_security(struct socket *from, struct socket *to)
{
#ifdef UMC_INJECT
	if (refuse) {
		atomic_inc(&refusals);
		return -EPERM;
	}
#endif
	return security_unix_may_send(from, to);
}

/*
 * rx taken.  Under its state lock the receiver's socket is either dead or there.
 * The sender's own send was checked by security_socket_sendmsg before it came
 * here; what remains is whether these two may talk.
 */
static int umc_may_deliver(struct umc_send *send, struct umc_member *to)
{
	int reason = 0;

	if (umc_is_refused(send, to))
		return UMC_ASKED_SECURITY;
	unix_state_lock(to->sk);
	if (sock_flag(to->sk, SOCK_DEAD) || !to->sk->sk_socket)
		reason = UMC_ASKED_DEAD;
	else if (umc_wants_credentials(to->sk->sk_socket) ||
		 (to->file && umc_wants_credentials(sock_from_file(to->file))))
		reason = UMC_ASKED_CREDENTIALS;
	else if (umc_ask_security(send->member->sk->sk_socket, to->sk->sk_socket))
		reason = UMC_ASKED_SECURITY;
	unix_state_unlock(to->sk);
	if (reason == UMC_ASKED_SECURITY)
		umc_refuse(send, to);
	return reason;
}

/**
 * umc_rx_begin - reserve a receiver
 * @send:	the message, tx of its sender held
 * @to:		receiver
 *
 * Return: 0 with rx taken, or the reason to ask.
 */
int umc_rx_begin(struct umc_send *send, struct umc_member *to)
{
	int reason;

	if (!umc_try_rx(to))
		return UMC_ASKED_BUSY;
	if (READ_ONCE(to->dead)) {
		reason = UMC_ASKED_DEAD;
		goto fail;
	}
	if (READ_ONCE(to->held)) {
		reason = UMC_ASKED_HELD;
		goto fail;
	}
	to->file = NULL;
	if (!umc_may_append(to)) {
		to->file = umc_sock_file(to->daemon);
		if (!to->file) {
			reason = UMC_ASKED_DEAD;
			goto fail;
		}
	}
	reason = umc_may_deliver(send, to);
	if (!reason)
		return 0;
	if (to->file)
		fput(to->file);
fail:
	umc_rx_put(to);
	return reason;
}

/*
 * What was unread is read now.  The daemon's end may be closed since, or want
 * credentials: it is too late to ask, but the daemon can finish a delivery.
 */
static int umc_late_file(struct umc_member *to)
{
	if (to->file)
		return 0;
	to->file = umc_sock_file(to->daemon);
	if (!to->file)
		return -EPIPE;
	return umc_wants_credentials(sock_from_file(to->file)) ? -ENOBUFS : 0;
}

/* The original sendmsg; with later, umc_member_data_ready() only notes that a reader waits. */
static int umc_queue(struct sk_buff *message, struct umc_member *to, bool later)
{
	struct kvec vec = { .iov_base = message->data, .iov_len = message->len };
	struct msghdr msg = { .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL };
	int ret = umc_late_file(to);

	if (ret)
		return ret;
	if (later)
		WRITE_ONCE(to->sender, current);
	iov_iter_kvec(&msg.msg_iter, ITER_SOURCE, &vec, 1, message->len);
	ret = to->hook->original->sendmsg(sock_from_file(to->file), &msg, message->len);
	if (later) {
		WRITE_ONCE(to->sender, NULL);
		if (to->asleep)
			umc_wake_later(to);
		to->asleep = false;
	}
	return ret;
}

/* A receiver with much unread is woken at once: it must not run out of room for that. */
static bool umc_may_wait(const struct umc_member *to)
{
	return sk_wmem_alloc_get(to->daemon) < READ_ONCE(to->daemon->sk_sndbuf) >> 2;
}

/**
 * umc_deliver - queue a message at a receiver
 * @send:	the message, stamped
 * @to:		receiver, reserved by umc_rx_begin()
 *
 * Behind unread bytes it is appended.  Otherwise the original sendmsg of the
 * daemon's end does it, in the sender's context and without waiting: af_unix's own
 * queueing, accounting and wake-ups.
 *
 * Return: bytes, or a negative error
 */
int umc_deliver(struct umc_send *send, struct umc_member *to)
{
	bool later = send->in_burst && umc_may_wait(to);
	int ret = send->message->len;

#ifdef UMC_BREAK
	umc_break(to);
#endif
#ifdef UMC_INJECT
	if (inject && !(atomic_inc_return(&deliveries) % inject))
		return -ENOBUFS;
#endif
	if (to->file || !umc_append(send, to))
		ret = umc_queue(send->message, to, later);
	else if (later)
		umc_wake_later(to);
	else
		umc_data_ready(to->sk);
	if (ret > 0)
		to->received++;
	return ret;
}
