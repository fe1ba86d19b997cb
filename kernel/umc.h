/* SPDX-License-Identifier: GPL-2.0 */
/*
 * AF_UNIX multicast groups: what the files of the module share.
 *
 * A socket that ever was a member has a hook: a copy of its proto_ops with our
 * sendmsg, which lives as long as the socket.  A membership (struct umc_member)
 * comes and goes.  A message is copied once into kernel memory, judged by the
 * filters on that copy, and delivered by the original sendmsg of the daemon's
 * end of each receiver's connection.
 *
 * Lock order:
 *
 *   group->config		the set of members; every ioctl that changes it
 *     umc_swap_mutex		the swap of proto_ops
 *     hook->tx			one sender's direct deliveries, egress, stamp
 *       group->multicast	multicasts, ingress and rest filters
 *         member->rx		deliveries to one receiver, held
 *           unix_state_lock, sk_receive_queue.lock (af_unix)
 *           group->spill_lock, group->calls_lock (leaves)
 *   group->write		UMC_WRITE; takes rx inside, nothing else
 *
 * A sender only ever tries multicast and rx, and asks when it does not get
 * them, so that a sender throttled while holding them stops no other.  A
 * multicast holds rx of hundreds of receivers, and the daemon waits for rx with
 * a time limit; struct mutex can do neither, so rx is a semaphore.
 *
 * Below tx no user memory is touched and the module allocates nothing.
 */
#ifndef _UMC_H
#define _UMC_H

#include <linux/filter.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/net.h>
#include <linux/rcupdate.h>
#include <linux/semaphore.h>
#include <linux/skbuff.h>
#include <linux/spinlock.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <net/af_unix.h>
#include <net/sock.h>

#include "compat.h"
#include "include/uapi/linux/unix_multicast.h"

#define UMC_CALL_BUCKETS	1024
#define UMC_CACHED_BUFFER	2048
#define UMC_PASS_ON		(-4095)		/* not a member: send as ever */
#define UMC_WAIT_FOR_ROOM	(-4094)

struct umc_group;
struct umc_hook;
struct umc_member;
struct umc_user;

/* A filter: programs, of which the first that does not ask decides. */
struct umc_chain {
	u32 count;
	u32 length;		/* instructions, all programs together */
	struct bpf_prog *programs[];
};

/* A call without a reply so far. */
struct umc_call {
	struct hlist_node node;
	struct list_head age;
	u32 caller;
	u32 callee;
	u32 key;
	unsigned long since;	/* jiffies */
};

/* A delivery that could not be finished; embedded in the receiver, so never allocated. */
struct umc_spilled {
	struct list_head node;
	struct sk_buff *message;
	u32 sender;
	u32 written;
};

/* Lives as long as the socket. sock->ops points at ops. */
struct umc_hook {
	struct proto_ops ops;		/* first */
	const struct proto_ops *original;
	struct kref ref;		/* the socket's and each membership's */
	struct mutex tx;		/* one direct delivery at a time */
	struct umc_member *member;	/* tx; set under tx and config */
	struct umc_call *spare;		/* tx */
	struct sk_buff *buffer;		/* xchg */
	atomic_t asking;		/* sends inside the original sendmsg */
	int dirty;			/* may be set any time, cleared under tx */
	atomic64_t foreign;		/* sends that must not wait for tx */
	wait_queue_head_t room;		/* UMC_MODE_BLOCK: woken when a receiver has read */
	struct rcu_head rcu;
};

/* One end of a connection, while it is watched. */
struct umc_end {
	struct hlist_node node;
	struct sock *sk;
	void (*data_ready)(struct sock *sk);	/* the original */
};

struct umc_member {
	struct kref ref;		/* the group's table, and users */
	u32 index;
	u32 mark;
	struct umc_group *group;
	struct umc_hook *hook;
	struct sock *sk;		/* the member's own socket */
	struct sock *daemon;		/* the other end; NULL for datagrams */
	struct umc_end daemon_end;
	struct umc_end member_end;
	u32 join_flags;
	/* by tx */
	struct umc_chain *egress;
	u32 stamp_flags;
	u32 stamp_length;
	u32 stamp_offset;
	u32 stamp_length_offset;
	u8 stamp[UMC_MAX_STAMP];
	u64 direct;
	u64 multicast;
	u64 copies;
	u64 asked[UMC_ASKED_REASONS];
	/* by group->multicast */
	struct umc_chain *ingress;
	/* by rx */
	struct semaphore rx;
	struct file *file;		/* of daemon, while rx is held to deliver */
	bool dead;
	bool held;
	bool is_spilled;
	struct umc_spilled spilled;
	u64 received;
	u64 dropped;
	u64 spills;
	/* by group->write, for one UMC_WRITE */
	bool write_stopped;
	bool write_hold;
	bool unwoken;			/* by writer, which sends the wake-up later */
	u32 write_left;
	struct task_struct *writer;
	/* by calls_lock */
	u32 calls;
	struct rcu_head rcu;
};

struct umc_group {
	struct kref ref;		/* the file's and each member's */
	u32 id;
	u32 flags;
	u32 mode;
	u32 max_members;
	u32 max_calls;
	u32 budget;			/* filter instructions of one multicast */
	struct umc_user *user;
	struct mutex config;		/* see above, as for the other locks */
	struct umc_member __rcu **table;	/* written under config and multicast */
	unsigned long *dead;		/* config: removed, not forgotten */
	u32 top;			/* above the highest index in use */
	u32 members;			/* config */
	bool closed;			/* config */
	bool gated;
	struct mutex write;		/* one UMC_WRITE at a time */
	struct mutex multicast;		/* one multicast at a time */
	struct umc_chain *first;	/* config, and only without members */
	struct umc_chain *rest;		/* multicast */
	struct umc_member **hits;	/* multicast: the receivers */
	spinlock_t spill_lock;		/* spills */
	struct list_head spills;
	wait_queue_head_t spill_wait;
	spinlock_t calls_lock;		/* calls, call_ages, member->calls */
	struct list_head call_ages;
	struct hlist_head *calls;
	struct umc_stats retired;	/* config: of members that left */
	/* datagram groups */
	struct list_head names;		/* umc_names_mutex */
	struct sock *address;
	struct dentry *debugfs;
};

/* One message on its way. */
struct umc_send {
	struct umc_hook *hook;
	struct umc_member *member;	/* valid under tx */
	struct sk_buff *message;
	struct umc_member *wait_for;	/* UMC_WAIT_FOR_ROOM */
	long timeout;			/* for that, in jiffies */
};

extern struct mutex umc_swap_mutex;
extern const struct file_operations umc_group_fops;

/* user.c */
struct umc_user *umc_user_get(bool privileged);
void umc_user_put(struct umc_user *user);
int umc_user_charge(struct umc_user *user, unsigned int members);
void umc_user_uncharge(struct umc_user *user, unsigned int members);
u32 umc_user_max_members(const struct umc_user *user);
u32 umc_user_budget(const struct umc_user *user);

/* group.c */
int umc_group_create(const struct umc_create *create);
bool umc_address_is(const struct sock *sk, const void *name, u32 length);
struct umc_group *umc_group_get_by_address(struct net *net, const struct umc_join *join);
void umc_group_put(struct umc_group *group);

/* member.c */
struct file *umc_sock_file(struct sock *sk);
struct umc_member *umc_member_get(struct umc_group *group, u32 index);
struct umc_member *umc_member_locked(struct umc_group *group, u32 index);
void umc_member_put(struct umc_member *member);
struct umc_member *umc_member_new(struct umc_group *group, u32 index);
int umc_member_publish(struct umc_member *member, struct socket *sock,
		       const struct proto_ops *overrides);
int umc_member_add(struct umc_group *group, const struct umc_add *add);
int umc_member_remove(struct umc_group *group, u32 index);
int umc_member_forget(struct umc_group *group, u32 index);
void umc_member_detach(struct umc_member *member);
struct umc_member *umc_hook_member(struct umc_hook *hook);
void umc_hook_put(struct umc_hook *hook);
bool umc_is_hooked(const struct socket *sock);
int umc_release_socket(struct socket *sock);
int umc_member_init(void);

static inline struct umc_hook *umc_hook(const struct socket *sock)
{
	return container_of(READ_ONCE(sock->ops), struct umc_hook, ops);
}

static inline bool umc_may_charge(const struct sock *sk)
{
	return sk_wmem_alloc_get(sk) < READ_ONCE(sk->sk_sndbuf);
}

/* Set once, and never changed while the socket lives. */
static inline struct unix_address *umc_address(const struct sock *sk)
{
	/* Pairs with af_unix's bind. */
	return smp_load_acquire(&unix_sk(sk)->addr);
}

/* ends.c */
void umc_ends_watch(struct umc_member *member);
void umc_ends_unwatch(struct umc_member *member);
int umc_ends_init(void);

/* buffer.c */
int umc_buffer_fill(struct umc_hook *hook, struct msghdr *msg, size_t len,
		    struct sk_buff **message);
void umc_buffer_put(struct umc_hook *hook, struct sk_buff *message);
int umc_buffer_stamp(struct sk_buff *message, const struct umc_member *from, u32 verdict);

/* send.c */
int umc_sendmsg(struct socket *sock, struct msghdr *msg, size_t len);

/* deliver.c */
bool umc_try_mutex(struct mutex *lock);
bool umc_try_rx(struct umc_member *member);
int umc_rx_begin(struct umc_send *send, struct umc_member *to);
void umc_rx_end(struct umc_member *to);
int umc_room(struct umc_member *to, size_t length);
int umc_deliver(struct sk_buff *message, struct umc_member *to);

/* room.c */
bool umc_has_room(const struct umc_member *member);
int umc_room_wait(struct umc_send *send);
void umc_room_wake(struct umc_group *group);
int umc_room_recvmsg(struct socket *sock, struct msghdr *msg, size_t len, int flags);
ssize_t umc_room_splice_read(struct socket *sock, loff_t *pos, struct pipe_inode_info *pipe,
			     size_t len, unsigned int flags);
__poll_t umc_room_poll(struct file *file, struct socket *sock, struct poll_table_struct *wait);

/* multicast.c */
int umc_multicast(struct umc_send *send, u32 verdict);

/* filter.c */
u32 umc_filter_run(const struct umc_chain *chain, struct sk_buff *message);
int umc_filter_set(struct umc_group *group, const struct umc_filter *filter);
int umc_stamp_set(struct umc_group *group, const struct umc_stamp *stamp);
void umc_chain_free(struct umc_chain *chain);

/* calls.c */
struct umc_call *umc_call_new(void);
void umc_call_free(struct umc_call *call);
int umc_call_insert(struct umc_member *caller, struct umc_call *call, u32 callee, u32 key);
void umc_call_restore(struct umc_group *group, struct umc_call *call);
struct umc_call *umc_call_take(struct umc_group *group, u32 caller, u32 callee, u32 key);
void umc_calls_purge(struct umc_group *group, u32 caller, u32 callee);
int umc_pending_add(struct umc_group *group, const struct umc_pending *pending);
int umc_pending_take(struct umc_group *group, struct umc_pending *pending);
int umc_pending_list(struct umc_group *group, struct umc_pending_list *list);
int umc_calls_init(void);
void umc_calls_exit(void);

/* write.c */
int umc_write(struct umc_group *group, const struct umc_write *write);
int umc_release(struct umc_group *group, const struct umc_release *release);
int umc_gate(struct umc_group *group, bool closed);

/* spill.c */
void umc_spill(struct umc_member *from, struct sk_buff *message, struct umc_member *to,
	       u32 written);
ssize_t umc_spill_read(struct umc_group *group, char __user *buf, size_t size, bool nonblock);
void umc_spill_flush(struct umc_group *group);

/* dgram.c */
int umc_dgram_join(struct umc_join *join);
int umc_dgram_leave(const struct umc_leave *leave);

/* stats.c */
void umc_stats_add(struct umc_stats *stats, const struct umc_member *member);
int umc_stats_get(struct umc_group *group, struct umc_stats *stats);
int umc_member_info(struct umc_group *group, struct umc_member_info *info);
void umc_debugfs_add(struct umc_group *group);
void umc_debugfs_remove(struct umc_group *group);
void umc_debugfs_init(void);
void umc_debugfs_exit(void);

#endif /* _UMC_H */
