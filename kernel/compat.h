/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Differences between the kernels this module builds for.  The Makefile looks
 * into the headers for each (distributions backport), not at version numbers.
 */
#ifndef _UMC_COMPAT_H
#define _UMC_COMPAT_H

#include <linux/fs.h>
#include <linux/net.h>
#include <linux/uio.h>
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
