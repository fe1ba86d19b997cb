/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Differences between the kernels this module builds for.  The Makefile looks
 * into the headers for each (distributions backport), not at version numbers.
 */
#ifndef _UMC_COMPAT_H
#define _UMC_COMPAT_H

#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/net.h>
#include <linux/skbuff.h>
#include <linux/uio.h>
#include <net/af_unix.h>
#include <net/sock.h>

#ifdef UMC_HAVE_LINUX_UNALIGNED
#include <linux/unaligned.h>
#else
#include <asm/unaligned.h>
#endif

#ifdef UMC_HAVE_GET_FILE_ACTIVE
static inline struct file *umc_get_file(struct file **file)
{
	return get_file_active(file);
}
#else
static inline struct file *umc_get_file(struct file **file)
{
	struct file *found = READ_ONCE(*file);

	return found && get_file_rcu(found) ? found : NULL;
}
#endif

/* Private since 6.17; still exported. */
#ifndef UMC_HAVE_UNIX_PEER_GET
struct sock *unix_peer_get(struct sock *sk);
#endif

#ifndef ITER_SOURCE
#define ITER_SOURCE 1
#endif

#ifdef UMC_HAVE_HRTIMER_SETUP
static inline void umc_hrtimer_init(struct hrtimer *timer,
				    enum hrtimer_restart (*function)(struct hrtimer *timer),
				    enum hrtimer_mode mode)
{
	hrtimer_setup(timer, function, CLOCK_MONOTONIC, mode);
}
#else
static inline void umc_hrtimer_init(struct hrtimer *timer,
				    enum hrtimer_restart (*function)(struct hrtimer *timer),
				    enum hrtimer_mode mode)
{
	hrtimer_init(timer, CLOCK_MONOTONIC, mode);
	timer->function = function;
}
#endif

/*
 * What is needed to append to a queued skb is private since 6.17, and there each
 * socket counts the bytes of its queue besides.  With PREEMPT_RT spinlocks sleep.
 */
#if defined(UMC_HAVE_UNIXCB) && !defined(UMC_HAVE_INQ_LEN) && !defined(CONFIG_PREEMPT_RT)
#define UMC_CAN_APPEND

static inline int umc_append_fragment(struct sk_buff *skb, struct page *page, int at, size_t length)
{
#ifdef UMC_HAVE_MAX_FRAGS
	return skb_append_pagefrags(skb, page, at, length, MAX_SKB_FRAGS);
#else
	return skb_append_pagefrags(skb, page, at, length);
#endif
}

/* The byte that was sent out of band stays the last of its skb. */
static inline bool umc_is_oob(const struct sock *sk, const struct sk_buff *skb)
{
#if IS_ENABLED(CONFIG_AF_UNIX_OOB)
	return skb == READ_ONCE(unix_sk(sk)->oob_skb);
#else
	return false;
#endif
}
#endif

/* The type of an address whose length is told beside it. */
#ifdef UMC_HAVE_SOCKADDR_UNSIZED
#define umc_sockaddr sockaddr_unsized
#else
#define umc_sockaddr sockaddr
#endif

/* Does this socket want the sender's credentials? */
static inline bool umc_wants_credentials(const struct socket *sock)
{
#ifdef UMC_HAVE_SK_SCM_BITS
	return READ_ONCE(sock->sk->sk_scm_recv_flags);
#else
	unsigned long bits = BIT(SOCK_PASSCRED) | BIT(SOCK_PASSSEC);

#ifdef UMC_HAVE_PASSPIDFD
	bits |= BIT(SOCK_PASSPIDFD);
#endif
	return READ_ONCE(sock->flags) & bits;
#endif
}

#endif /* _UMC_COMPAT_H */
