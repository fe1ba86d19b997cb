/* SPDX-License-Identifier: GPL-2.0 */
/* A message on its way: what decides about it, and the deliveries. */
#ifndef _UMC_SEND_H
#define _UMC_SEND_H

#include <linux/file.h>

#include "group.h"

#define UMC_PASS_ON		(-4095)		/* not a member: send as ever */
#define UMC_WAIT_FOR_ROOM	(-4094)
/* As af_unix has it: what one skb of a stream can carry. */
#define UMC_SKB_FRAGS	(PAGE_SIZE << get_order(32768))

struct umc_list;
struct umc_memo;

/* One message on its way. */
struct umc_send {
	struct umc_hook *hook;
	struct umc_member *member;	/* valid inside umc_srcu */
	int epoch;			/* of the group, before anything else was looked at */
	const struct umc_chain *own;	/* egress filters in force, or NULL */
	const struct umc_chain *shared;
	struct sk_buff *message;
	u32 header;			/* its size, if it may be remembered; or 0 */
	u64 hash;			/* of that, if memo was not the last one */
	u32 looked;			/* how far into the message filters have */
	bool recalled;			/* memo was known before */
	struct umc_memo *memo;		/* of such a header */
	struct umc_memory *memory;	/* room that was made before tx */
	struct umc_memo *memo_room;
	struct umc_list *list_room;
	bool in_burst;			/* receivers are woken later */
	bool on_page;			/* the stamped message is in hook->page, at page_at */
	u32 page_at;
	struct umc_member *wait_for;	/* UMC_WAIT_FOR_ROOM; NULL: it has left */
	long timeout;			/* for that, in jiffies */
};

/* buffer.c */
int umc_buffer_fill(struct umc_hook *hook, struct msghdr *msg, size_t len,
		    struct sk_buff **message);
void umc_buffer_put(struct umc_hook *hook, struct sk_buff *message);
int umc_buffer_stamp(struct sk_buff *message, const struct umc_mold *mold, u32 verdict);

/* shape.c */
u32 umc_header(const struct umc_shape *shape, const struct sk_buff *message);

/* remember.c */
void umc_memory_free(struct umc_memory *memory);
void umc_memory_prepare(struct umc_send *send, const struct umc_member *from);
void umc_memory_finish(struct umc_send *send);
bool umc_recall(struct umc_send *send, u32 *verdict);
bool umc_memo_asks(const struct umc_memo *memo);
void umc_remember(struct umc_send *send, u32 verdict);

/* receivers.c */
bool umc_recall_receivers(struct umc_send *send, u32 *count);
void umc_receivers_begin(struct umc_send *send);
void umc_remember_receivers(struct umc_send *send, u32 count);

/* name.c */
u32 umc_name_resolve(struct umc_send *send, u32 verdict);

/* send.c */
bool umc_run_first(const struct umc_group *group, struct sk_buff *message);
int umc_sendmsg(struct socket *sock, struct msghdr *msg, size_t len);

/* deliver.c */
bool umc_try_mutex(struct mutex *lock);
bool umc_try_rx_again(struct umc_member *member);
bool umc_committed(const struct umc_send *send);
int umc_rx_begin(struct umc_send *send, struct umc_member *to);
int umc_deliver(struct umc_send *send, struct umc_member *to);

static inline bool umc_try_rx(struct umc_member *member)
{
	/* Fully ordered: a sender looks at held and epoch afterwards. */
	return !atomic_cmpxchg(&member->rx, 0, 1) || umc_try_rx_again(member);
}

static inline void umc_rx_put(struct umc_member *member)
{
	atomic_set_release(&member->rx, 0);
}

static inline void umc_rx_end(struct umc_member *to)
{
	struct file *file = to->file;

	umc_rx_put(to);
	if (file)
		fput(file);
}

/**
 * umc_room - does a message fit?
 * @to:		receiver, its rx taken
 * @length:	of the message, stamped
 *
 * The data queued at the daemon's end can only shrink while rx is taken:
 * the daemon writes to held members only.  A stream must take the message in
 * one skb, or a partial write could follow.
 *
 * Return: 0, UMC_ASKED_FULL or UMC_ASKED_SIZE
 */
static inline int umc_room(struct umc_member *to, size_t length)
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

/* append.c */
#ifdef UMC_CAN_APPEND
struct page *umc_page_new(const struct umc_hook *hook, size_t length);
struct page *umc_page_set(struct umc_hook *hook, struct page *page);
bool umc_append(struct umc_send *send, struct umc_member *to);
extern bool umc_appending;

/* A guess: there is something unread, behind which a message fits. */
static inline bool umc_may_append(const struct umc_member *to)
{
	const struct sock *sk = to->sk;

	return READ_ONCE(umc_appending) && sk->sk_type == SOCK_STREAM &&
	       !skb_queue_empty_lockless(&sk->sk_receive_queue) &&
	       !(READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN) &&
	       !(READ_ONCE(to->daemon->sk_shutdown) & SEND_SHUTDOWN);
}
#else
static inline struct page *umc_page_new(const struct umc_hook *hook, size_t length)
{
	return NULL;
}

static inline struct page *umc_page_set(struct umc_hook *hook, struct page *page)
{
	return NULL;
}

static inline bool umc_may_append(const struct umc_member *to)
{
	return false;
}

static inline bool umc_append(struct umc_send *send, struct umc_member *to)
{
	return false;
}
#endif

/* wake.c */
bool umc_in_burst(struct umc_hook *hook);
void umc_wake_add(struct umc_member *member);

/* Puts off a receiver's wake-up; its message is queued. */
static inline void umc_wake_later(struct umc_member *member)
{
	/* Fully ordered: who finds it set has queued its message before umc_wake() clears it. */
	if (!atomic_xchg(&member->later, 1))
		umc_wake_add(member);
}

int umc_wakers_init(void);
void umc_wakers_exit(void);

/* room.c */
bool umc_has_room(const struct umc_member *member);
int umc_room_needed(struct umc_send *send, struct umc_member *to);
int umc_room_wait(struct umc_send *send);
void umc_room_wake(struct umc_group *group);
int umc_room_recvmsg(struct socket *sock, struct msghdr *msg, size_t len, int flags);
ssize_t umc_room_splice_read(struct socket *sock, loff_t *pos, struct pipe_inode_info *pipe,
			     size_t len, unsigned int flags);
__poll_t umc_room_poll(struct file *file, struct socket *sock, struct poll_table_struct *wait);

/* multicast.c */
bool umc_afford(const struct umc_group *group, const struct umc_chain *chain, u32 *work);
int umc_multicast(struct umc_send *send, u32 verdict);

#endif /* _UMC_SEND_H */
