// SPDX-License-Identifier: GPL-2.0
/*
 * Bursts, what is queued: behind unread bytes a message needs no skb of its own.
 * It is appended to the last one as a fragment of a page, as af_unix itself did
 * for sendfile until 6.4, and all receivers of a multicast share that page.
 *
 * The receiver's iolock keeps readers away, which look at a queued skb and take it
 * off without another lock.  All others take skbs off with the lock of the queue
 * held: release and the garbage collector.  A tail that is there under that lock is
 * alive, and what is appended to a queue that is being purged goes with it.  So the
 * state lock is not needed: shutdown and release may as well come just after.  A
 * reader that goes to sleep looks at the tail's length once more, after it has put
 * itself on the wait queue.
 *
 * A sender that has taken iolock keeps the CPU until it has put it: only a spinlock
 * is taken below, and a reader never waits for a sender that is throttled.
 */

#include <linux/moduleparam.h>

#include "umc.h"

#ifdef UMC_CAN_APPEND
bool umc_appending = true;
module_param_named(append, umc_appending, bool, 0644);
MODULE_PARM_DESC(append, "append messages to those a receiver has not read yet");

/* As much as af_unix puts into one skb; it is read as a whole or in parts. */
#define UMC_APPENDED	32768
/* What a fragment of its own is charged with: as for the smallest skb, since it may keep a page. */
#define UMC_FRAGMENT	1024

/* Called without a lock.  NULL: none is needed, or there is no memory. */
struct page *umc_page_new(const struct umc_hook *hook, size_t length)
{
	if (!READ_ONCE(hook->page_wanted) || length + UMC_MAX_STAMP > PAGE_SIZE ||
	    (READ_ONCE(hook->page) &&
	     READ_ONCE(hook->page_used) + length + UMC_MAX_STAMP <= PAGE_SIZE))
		return NULL;
	return alloc_page(GFP_KERNEL_ACCOUNT | __GFP_NOWARN | __GFP_NORETRY);
}

/* tx held.  Return: the page that is no longer needed, or NULL */
struct page *umc_page_set(struct umc_hook *hook, struct page *page)
{
	struct page *old = hook->page;

	if (!page)
		return NULL;
	WRITE_ONCE(hook->page, page);
	WRITE_ONCE(hook->page_used, 0);
	return old;
}

/* The stamped message, once for all who get it appended; tx held. */
static bool umc_on_page(struct umc_send *send)
{
	struct umc_hook *hook = send->hook;
	u32 length = send->message->len;

	if (send->on_page)
		return true;
	if (!hook->page || hook->page_used + length > PAGE_SIZE) {
		hook->page_wanted = true;
		return false;
	}
	send->page_at = hook->page_used;
	memcpy(page_address(hook->page) + send->page_at, send->message->data, length);
	WRITE_ONCE(hook->page_used, send->page_at + length);
	send->on_page = true;
	return true;
}

/* Plain bytes from the daemon's end, some of them unread, that no one else looks at. */
static bool umc_may_grow(const struct sk_buff *skb, const struct umc_member *to, u32 length)
{
	return skb->sk == to->daemon && !UNIXCB(skb).fp && !UNIXCB(skb).pid &&
	       !skb_cloned(skb) && !skb_shared(skb) && !skb_has_frag_list(skb) &&
	       skb->len > UNIXCB(skb).consumed && skb->len + length <= UMC_APPENDED;
}

/* Is it right behind what this skb ends with?  Then that becomes longer. */
static bool umc_extend(struct sk_buff *skb, const struct umc_send *send, u32 length)
{
	u32 fragments = skb_shinfo(skb)->nr_frags;
	skb_frag_t *last = &skb_shinfo(skb)->frags[fragments - 1];

	if (!fragments || skb_frag_page(last) != send->hook->page ||
	    skb_frag_off(last) + skb_frag_size(last) != send->page_at)
		return false;
	skb_frag_size_add(last, length);
	return true;
}

/* The receiver's iolock, and the lock of its queue held. */
static bool umc_grow(struct umc_send *send, struct umc_member *to)
{
	struct sk_buff *skb = skb_peek_tail(&to->sk->sk_receive_queue);
	u32 length = send->message->len, charge = length;

	if (!skb || umc_is_oob(to->sk, skb) || !umc_may_grow(skb, to, length))
		return false;
	if (!umc_extend(skb, send, length)) {
		if (umc_append_fragment(skb, send->hook->page, send->page_at, length))
			return false;
		charge = max_t(u32, charge, UMC_FRAGMENT);
	}
	skb->len += length;
	skb->data_len += length;
	skb->truesize += charge;
	refcount_add(charge, &to->daemon->sk_wmem_alloc);
	return true;
}

/**
 * umc_append - deliver a message behind unread bytes
 * @send:	the message, stamped; tx held
 * @to:		receiver, reserved by umc_rx_begin(), which found something unread; there is room
 *
 * Readers that wait are not woken by this.
 *
 * Return: delivered
 */
bool umc_append(struct umc_send *send, struct umc_member *to)
{
	struct sock *sk = to->sk;
	bool done = false;

	if (!umc_on_page(send))
		return false;
	preempt_disable();
	if (mutex_trylock(&unix_sk(sk)->iolock)) {
		spin_lock(&sk->sk_receive_queue.lock);
		done = umc_grow(send, to);
		spin_unlock(&sk->sk_receive_queue.lock);
		mutex_unlock(&unix_sk(sk)->iolock);
	}
	preempt_enable();
	return done;
}
#endif /* UMC_CAN_APPEND */
