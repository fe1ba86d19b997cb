// SPDX-License-Identifier: GPL-2.0
/* A member's sendmsg: directly to another member, or ask. */

#include <linux/sched.h>

#include "umc.h"

/* What af_unix queues in one piece, and announces when it is done, however small its buffer is. */
#define UMC_AT_ONCE	2048

/*
 * A task that memory reclaim depends on (nbd over a member) must neither run
 * another process's filters nor wait for locks.
 */
static bool umc_foreign_context(const struct sock *sk)
{
	return current->flags & (PF_KTHREAD | PF_MEMALLOC | PF_MEMALLOC_NOFS | PF_MEMALLOC_NOIO) ||
	       !(sk->sk_allocation & __GFP_FS);
}

/*
 * umc_release_one() clears dirty first and looks at asking afterwards; here it is the
 * other way round, so one of the two sees the other.
 */
static void umc_ask_begin(struct umc_hook *hook)
{
	atomic_inc(&hook->asking);
	/* Pairs with umc_release_one(). */
	smp_mb__after_atomic();
	WRITE_ONCE(hook->dirty, 1);
}

/*
 * May block as ever, therefore without tx.  The daemon hears of the message once
 * this send is no longer under way: told by af_unix it might run before that, and
 * would have to try to release its sender again.
 */
static int umc_ask(struct umc_hook *hook, struct socket *sock, struct msghdr *msg, size_t len)
{
	bool later = len <= UMC_AT_ONCE && !(msg->msg_flags & MSG_OOB) &&
		     !cmpxchg(&hook->asker, NULL, current);
	struct umc_untold untold = {};
	int ret = hook->original->sendmsg(sock, msg, len);

	if (later) {
		swap(untold, hook->untold);
		/* Pairs with the cmpxchg of the next one, which finds untold empty. */
		smp_store_release(&hook->asker, NULL);
	}
	/* The queued message is visible before the count of sends under way drops. */
	smp_mb__before_atomic();
	atomic_dec(&hook->asking);
	if (untold.sk) {
		untold.data_ready(untold.sk);
		sock_put(untold.sk);
	}
	return ret;
}

static int umc_key(const struct sk_buff *message, u32 verdict, u32 *key)
{
	u32 offset = (verdict & UMC_VERDICT_KEY_MASK) >> UMC_VERDICT_KEY_SHIFT << 2;

	if (offset + 4 > message->len)
		return UMC_ASKED_REPLY;
	*key = verdict & UMC_VERDICT_BIG_ENDIAN ? get_unaligned_be32(message->data + offset) :
						  get_unaligned_le32(message->data + offset);
	return *key ? 0 : UMC_ASKED_REPLY;
}

/*
 * A call is recorded before it is delivered, since the reply may come at once on
 * another CPU; and with rx taken, since otherwise it might be refused after the
 * daemon has answered what the callee left unanswered.
 */
static int umc_note_call(struct umc_send *send, struct umc_member *callee, u32 key)
{
	switch (umc_call_insert(send->member, callee, key, &send->hook->spare)) {
	case 0:
		return 0;
	case -ENOENT:
		return UMC_ASKED_DEAD;
	case -ENOMEM:
		return UMC_ASKED_MEMORY;
	}
	return UMC_ASKED_REPLY;
}

/* Outcome of a single delivery: 0, or the reason to ask. The daemon finishes a partial one. */
static int umc_outcome(struct umc_send *send, struct umc_member *to, int ret)
{
	switch (ret) {
	case -EAGAIN:
		return UMC_ASKED_FULL;
	case -EPIPE:
	case -ECONNRESET:
		return UMC_ASKED_DEAD;
	}
	if (ret < 0)
		return UMC_ASKED_MEMORY;
	if (ret < send->message->len)
		umc_spill(send->member, send->message, to, ret);
	return 0;
}

/* rx taken, and committed: nothing can refuse but the table of calls, and memory. */
static int umc_deliver_reserved(struct umc_send *send, struct umc_member *to, u32 verdict, u32 key)
{
	int reason = 0;

	if (verdict & UMC_VERDICT_CALL)
		reason = umc_note_call(send, to, key);
	else if (verdict & UMC_VERDICT_REPLY && !umc_call_end(to, send->member, key))
		reason = UMC_ASKED_REPLY;
	if (reason)
		return reason;
	reason = umc_outcome(send, to, umc_deliver(send, to));
	if (!reason)
		return 0;
	if (verdict & UMC_VERDICT_CALL) {
		umc_call_end(send->member, to, key);
	} else if (verdict & UMC_VERDICT_REPLY && reason != UMC_ASKED_DEAD) {
		/* Its call is answered now; the daemon delivers it. */
		umc_spill(send->member, send->message, to, 0);
		reason = 0;
	}
	return reason;
}

static int umc_deliver_one(struct umc_send *send, struct umc_member *to, u32 verdict, u32 key)
{
	int mode = send->member->group->mode;
	int reason;

	reason = umc_rx_begin(send, to);
	if (reason)
		return reason;
	reason = umc_room(to, send->message->len);
	if (!reason)
		reason = umc_committed(send) ? umc_deliver_reserved(send, to, verdict, key) :
					       UMC_ASKED_BUSY;
	if (reason == UMC_ASKED_FULL && mode == UMC_MODE_DROP) {
		to->dropped++;
		reason = 0;
	}
	umc_rx_end(to);
	if (reason == UMC_ASKED_FULL && mode == UMC_MODE_BLOCK)
		reason = umc_room_needed(send, to);
	return reason;
}

static int umc_unicast(struct umc_send *send, u32 verdict)
{
	struct umc_member *from = send->member;
	u32 index = verdict & UMC_VERDICT_INDEX_MASK;
	struct umc_member *to = NULL;
	int reason = 0;
	u32 key = 0;

	if (index < from->group->max_members)
		to = srcu_dereference(from->group->table[index], &umc_srcu);
	if (!to)
		return UMC_ASKED_DEAD;
	switch (verdict & (UMC_VERDICT_CALL | UMC_VERDICT_REPLY)) {
	case 0:
		break;
	case UMC_VERDICT_CALL:
	case UMC_VERDICT_REPLY:
		reason = umc_key(send->message, verdict, &key);
		break;
	default:
		reason = UMC_ASKED_REPLY;
	}
	if (!reason)
		reason = umc_buffer_stamp(send->message,
					  srcu_dereference(from->mold, &umc_srcu), verdict);
	if (!reason)
		reason = umc_deliver_one(send, to, verdict, key);
	if (!reason)
		from->direct++;
	return reason;
}

/* Runs the first filter, the result of which all others see; false: ask. */
bool umc_run_first(const struct umc_group *group, struct sk_buff *message)
{
	const struct umc_chain *first = srcu_dereference(group->first, &umc_srcu);
	u32 verdict, looked;

	message->hash = 0;
	if (!first)
		return true;
	verdict = umc_filter_run(first, message, &looked);
	message->hash = verdict;
	return verdict && (verdict & UMC_KIND_MASK) != UMC_ASK_NOW;
}

/*
 * The shared filter first, then the sender's own.  What is remembered is what they
 * said, and not whose a name is: a name that no member has yet is looked up anew.
 */
static u32 umc_run_egress(struct umc_send *send)
{
	u32 said = umc_filter_run(send->shared, send->message, &send->looked);
	u32 verdict = umc_name_resolve(send, said), own;

	if (send->own && verdict == UMC_ASK) {
		own = umc_filter_run(send->own, send->message, &send->looked);
		verdict = umc_name_resolve(send, own);
		if (own & UMC_KIND_MASK)
			said = own;
	}
	if (!send->recalled)
		umc_remember(send, said);
	return verdict;
}

/* tx held; send->own or send->shared is a filter. */
static u32 umc_judge(struct umc_send *send)
{
	struct sk_buff *message = send->message;
	u32 verdict = UMC_ASK;

	if (umc_recall(send, &verdict) &&
	    (verdict != UMC_ASK || !send->own || umc_memo_asks(send->memo)))
		return verdict;
	send->memo = NULL;
	message->sk = send->member->sk;
	message->mark = 0;
	if (umc_run_first(send->member->group, message))
		verdict = umc_run_egress(send);
	message->sk = NULL;
	return verdict;
}

/*
 * tx held.  Return: 0 when delivered, the reason to ask, or UMC_PASS_ON or
 * UMC_WAIT_FOR_ROOM.
 */
static int umc_direct(struct umc_send *send)
{
	struct umc_member *from = send->member;
	struct sock *sk = from->sk;
	u32 verdict;

	/* All that follows is looked at later: pairs with umc_group_changed(). */
	send->epoch = atomic_read_acquire(&from->group->epoch);
	if (READ_ONCE(send->hook->dirty))
		return UMC_ASKED_DIRTY;
	if (READ_ONCE(from->group->gated) || umc_alarmed(from->group))
		return UMC_ASKED_GATE;
	if (READ_ONCE(from->dead) || READ_ONCE(sk->sk_shutdown) & SEND_SHUTDOWN ||
	    READ_ONCE(sk->sk_err))
		return UMC_ASKED_SHUTDOWN;
	send->own = umc_chain(from->group, &from->egress);
	send->shared = umc_shared(from);
	if (!send->own && !send->shared)
		return UMC_ASKED_VERDICT;
	verdict = umc_judge(send);
	switch (verdict & UMC_KIND_MASK) {
	case UMC_UNICAST:
		return umc_unicast(send, verdict);
	case UMC_MULTICAST:
		return umc_multicast(send, verdict);
	}
	return UMC_ASKED_VERDICT;
}

/* Inside umc_srcu, with a member; everything that may sleep for memory comes before tx. */
static int umc_try_member(struct umc_send *send, struct msghdr *msg, size_t len)
{
	struct umc_hook *hook = send->hook;
	struct umc_call *spare = NULL;
	struct page *page = NULL;
	int reason = UMC_ASKED_DIRTY;

	if (!READ_ONCE(hook->dirty)) {
		reason = umc_buffer_fill(hook, msg, len, &send->message);
		if (!reason)
			umc_memory_prepare(send, send->member);
		umc_calls_grow(send->member);
		if (!READ_ONCE(hook->spare))
			spare = umc_call_new();
		page = umc_page_new(hook, len);
	}
	mutex_lock(&hook->tx);
	send->in_burst = umc_in_burst(hook);
	send->on_page = false;
	page = umc_page_set(hook, page);
	if (!hook->spare) {
		hook->spare = spare;
		spare = NULL;
	}
	if (!reason)
		reason = umc_direct(send);
	if (reason > 0) {
		send->member->asked[reason]++;
		umc_ask_begin(hook);
	}
	mutex_unlock(&hook->tx);
	umc_call_free(spare);
	umc_memory_finish(send);
	if (page)
		put_page(page);
	umc_buffer_put(hook, send->message);
	send->message = NULL;
	/* Its owner will not read what was spilled just now. */
	if (unlikely(READ_ONCE(send->member->group->closed)))
		umc_spill_flush(send->member->group);
	return reason;
}

static int umc_try_direct(struct umc_send *send, struct msghdr *msg, size_t len)
{
	int reason = UMC_PASS_ON;
	int reader = srcu_read_lock(&umc_srcu);

	send->member = srcu_dereference(send->hook->member, &umc_srcu);
	if (send->member)
		reason = umc_try_member(send, msg, len);
	srcu_read_unlock(&umc_srcu, reader);
	return reason;
}

/* Not inlined: most messages of a member that only asks never come here. */
static noinline int umc_send_judged(struct umc_hook *hook, struct socket *sock, struct msghdr *msg,
				    size_t len)
{
	struct umc_send send = { .hook = hook };
	struct iov_iter saved = msg->msg_iter;
	int err;

	send.timeout = sock_sndtimeo(sock->sk, msg->msg_flags & MSG_DONTWAIT);
	do {
		err = umc_try_direct(&send, msg, len);
		if (!err)
			return len;
		msg->msg_iter = saved;
		if (err == UMC_WAIT_FOR_ROOM)
			err = umc_room_wait(&send);
	} while (err == UMC_WAIT_FOR_ROOM);
	if (err == UMC_PASS_ON)
		return hook->original->sendmsg(sock, msg, len);
	if (err > 0)
		return umc_ask(hook, sock, msg, len);
	return err;
}

/*
 * A dirty member's message asks, whatever it says.  That needs no tx: if the member is
 * released just now, what another thread sends directly is sent at the same time
 * as this message; what this one sends after it finds the member dirty.
 */
static bool umc_asks_unjudged(struct umc_hook *hook)
{
	struct umc_member *member;

	if (!READ_ONCE(hook->dirty))
		return false;
	rcu_read_lock();
	member = rcu_dereference(hook->member);
	if (member)
		atomic64_inc(&member->unjudged);
	rcu_read_unlock();
	return member;
}

/**
 * umc_sendmsg - proto_ops of a member that has a daemon's end
 * @sock:	member's
 * @msg:	advanced by what is returned
 * @len:	bytes
 *
 * Return: as sendmsg(2)
 */
int umc_sendmsg(struct socket *sock, struct msghdr *msg, size_t len)
{
	struct umc_hook *hook = umc_hook(sock);

	if (!rcu_access_pointer(hook->member))
		return hook->original->sendmsg(sock, msg, len);
	if (umc_foreign_context(sock->sk))
		atomic64_inc(&hook->foreign);
	else if (!umc_asks_unjudged(hook))
		return umc_send_judged(hook, sock, msg, len);
	umc_ask_begin(hook);
	return umc_ask(hook, sock, msg, len);
}
