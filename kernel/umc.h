/* SPDX-License-Identifier: GPL-2.0 */
/*
 * AF_UNIX multicast groups: what the files of the module share.
 *
 * A socket that ever was a member has a hook, which lives as long as the socket,
 * and one of our static proto_ops.  A membership (struct umc_member) comes and
 * goes.  A message is copied once into kernel memory, judged by the filters on
 * that copy, and delivered by the original sendmsg of the daemon's end of each
 * receiver's connection.
 *
 * Lock order:
 *
 *   group->write		UMC_WRITE
 *   group->watch		watched descriptors, and what their poll takes
 *   hook->tx			one sender's direct deliveries
 *     group->multicast		multicasts
 *       member->rx		deliveries to one receiver
 *         iolock of the receiver, which is only tried (append.c)
 *           unix_state_lock, sk_receive_queue.lock (af_unix)
 *         group->spill_lock
 *   group->lock		members, filters, stamps, marks, names, classes, gate
 *     umc_hooks_lock		the swap of proto_ops, hook->member
 *       sk_callback_lock, umc_ends_lock
 *   rx or group->lock
 *     group->calls_lock
 *   wait queue of a watched descriptor
 *     wait queue of the group
 *   umc_users_lock, umc_waker.lock	leaves
 *
 * A sender may be throttled or pre-empted while it holds tx, multicast and rx,
 * since its filters and the original sendmsg may sleep.  So no other task
 * waits for them: other senders try, and ask; the owner of the group never
 * takes tx or multicast but by trying, to release a member, and finds rx taken or
 * not (both UMC_WRITE).  All others are spinlocks, or taken by the owner alone.
 *
 * The owner's changes therefore don't wait for senders: under group->lock they
 * replace pointers and increment group->epoch.  A sender notes the epoch before
 * it looks at anything, and once it has rx of all its receivers it looks again
 * (umc_committed()).  If the epoch has changed, it asks.  If not, its deliveries
 * come before the change: whatever the owner writes to these receivers from now
 * on finds rx taken, and waits in the daemon.  An alarm (watch.c) is such a change,
 * which takes no lock, as it comes from somewhere in the kernel.
 *
 * What a sender finds (members, filters, stamps, names) it uses inside umc_srcu, and it
 * is freed after all who may have found it have left (reap.c).
 *
 * Below tx no user memory is touched and the module allocates nothing.
 */
#ifndef _UMC_H
#define _UMC_H

#include "send.h"

#endif /* _UMC_H */
