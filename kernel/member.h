/* SPDX-License-Identifier: GPL-2.0 */
/* Members, the hooks of their sockets, and the calls between them. */
#ifndef _UMC_MEMBER_H
#define _UMC_MEMBER_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/net.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <net/af_unix.h>
#include <net/sock.h>

#include "compat.h"
#include "filter.h"

#define UMC_FEW_CALLS		8		/* buckets, until a caller needs more */
#define UMC_REFUSALS		32

struct umc_memory;

/* A call without a reply so far; calls_lock. */
struct umc_call {
	struct hlist_node node;		/* caller->buckets */
	struct list_head made;		/* caller->made */
	struct list_head owed;		/* callee->owed */
	struct list_head age;		/* group->call_ages */
	struct umc_member *caller;
	struct umc_member *callee;
	u32 key;
	unsigned long since;		/* jiffies */
};

/* A delivery that could not be finished; embedded in the receiver, so never allocated. */
struct umc_spilled {
	struct list_head node;
	struct sk_buff *message;
	u32 sender;
	u32 written;
};

/* A daemon's end with a message of which the daemon has not heard. */
struct umc_untold {
	struct sock *sk;		/* with a reference; or NULL */
	void (*data_ready)(struct sock *sk);
};

/* Lives as long as the socket, whose ops are one of umc_ops. */
struct umc_hook {
	struct hlist_node node;		/* umc_hooks_lock */
	const struct sock *sk;		/* never changed */
	const struct proto_ops *original;	/* never changed */
	struct kref ref;		/* the socket's and each membership's */
	struct mutex tx;		/* one direct delivery at a time */
	struct umc_member __rcu *member;	/* umc_hooks_lock */
	struct umc_call *spare;		/* tx */
	struct page *page;		/* tx: what is appended to receivers' queues lies there */
	u32 page_used;			/* tx */
	bool page_wanted;		/* tx: there was something to be appended */
	u32 run;			/* tx: messages since runner last slept */
	u32 last_run;			/* tx: those of the run before */
	const struct task_struct *runner;	/* tx: to compare only */
	unsigned long switches;		/* tx: of runner, when it last slept */
	struct sk_buff *buffer;		/* xchg */
	atomic_t asking;		/* sends inside the original sendmsg */
	struct task_struct *asker;	/* cmpxchg: one of these, which tells the daemon later */
	struct umc_untold untold;	/* by asker */
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
	struct umc_garbage garbage;
	struct kref ref;		/* the group's table, the hook's, and users */
	/* never changed */
	u64 id;				/* of all memberships there ever were */
	u32 index;
	u32 join_flags;
	struct umc_group *group;
	struct umc_hook *hook;
	struct sock *sk;		/* the member's own socket */
	struct sock *daemon;		/* the other end; NULL for datagrams */
	/* by umc_hooks_lock */
	struct umc_end daemon_end;
	struct umc_end member_end;
	/* by group->lock; senders read them, inside umc_srcu */
	u32 mark;
	bool dead;			/* and calls_lock; never cleared */
	struct umc_chain __rcu *egress;
	struct umc_chain __rcu *ingress;
	bool quiet;			/* without it nothing is wanted, instead of asking */
	u64 wanted;			/* group->wanted, when ingress was set */
	u32 class;			/* or UMC_ANY: none */
	u32 classed;			/* group->generation, when class was set */
	struct list_head named;		/* its names */
	struct list_head recent;	/* in group->recent */
	struct umc_mold __rcu *mold;
	atomic64_t unjudged;		/* messages that asked since it was dirty, without tx */
	/* by tx */
	u64 direct;
	u64 released_at;		/* direct, when it was released the last time */
	u64 multicast;
	u64 copies;
	u64 asked[UMC_ASKED_REASONS];
	u64 refused[UMC_REFUSALS];	/* ids of members that it may not send to */
	const struct umc_chain *refused_by;	/* the egress filter when these were asked for */
	bool refuses;			/* there are any */
	struct umc_memory *memory;	/* of what it has sent; or NULL */
	u32 memo_wanted;		/* there was no room for a header of that size; or 0 */
	u32 list_wanted;		/* or that many receivers; or 0 */
	/* by rx */
	atomic_t rx;			/* 1: taken; only tried */
	struct file *file;		/* of daemon, while rx is taken to deliver */
	struct umc_spilled spilled;	/* then its reader's, until is_spilled is cleared */
	struct task_struct *sender;	/* which wakes it later */
	bool asleep;			/* by sender: a reader waits for what it has queued */
	u64 received;
	u64 dropped;
	u64 spills;
	bool held;			/* set by UMC_WRITE too, which alone clears it */
	bool is_spilled;		/* cleared by the reader of the spill queue */
	/* by umc_waker.lock */
	atomic_t later;			/* 1: on a list of those to be woken */
	struct list_head waking;
	/* by group->write, for one UMC_WRITE */
	bool write_stopped;
	bool write_hold;
	bool unwoken;			/* by writer, which sends the wake-up later */
	u32 write_left;
	struct task_struct *writer;
	/* by calls_lock */
	u32 calls;			/* on made */
	u32 debts;			/* on owed */
	u32 idle_calls;			/* on idle */
	struct hlist_head idle;		/* calls that were answered, for the next ones */
	u32 bucket_mask;
	struct hlist_head *buckets;	/* few, or allocated */
	struct hlist_head few[UMC_FEW_CALLS];
	struct list_head made;		/* its calls, oldest first */
	struct list_head owed;		/* calls that it has to answer, oldest first */
};

/* member.c */
struct file *umc_sock_file(struct sock *sk);
struct umc_member *umc_member_get(struct umc_group *group, u32 index);
struct umc_member *umc_member_locked(struct umc_group *group, u32 index);
void umc_member_put(struct umc_member *member);
struct umc_member *umc_member_new(struct umc_group *group, u32 index);
int umc_member_publish(struct umc_member *member, struct socket *sock);
int umc_member_add(struct umc_group *group, const struct umc_add *add);
int umc_member_remove(struct umc_group *group, u32 index);
int umc_member_forget(struct umc_group *group, u32 index);
void umc_member_detach(struct umc_member *member);
void umc_member_drop(struct umc_member *member);

/* A reference for longer than umc_srcu; false: it is about to be freed. */
static inline bool umc_member_hold(struct umc_member *member)
{
	return kref_get_unless_zero(&member->ref);
}

/* After umc_group_changed(): is a delivery under way that comes before the change? */
static inline bool umc_rx_is_taken(const struct umc_member *member)
{
	return atomic_read_acquire(&member->rx);
}

/* hook.c */
extern spinlock_t umc_hooks_lock;
struct umc_hook *umc_hook_new(void);
struct umc_hook *umc_hook_install(struct socket *sock, bool blocking, struct umc_hook **fresh);
struct umc_hook *umc_hook(const struct socket *sock);
void umc_hook_put(struct umc_hook *hook);
struct umc_member *umc_hook_member(struct umc_hook *hook);
bool umc_is_hooked(const struct socket *sock);
int umc_hooks_init(void);

static inline bool umc_may_charge(const struct sock *sk)
{
	return sk_wmem_alloc_get(sk) < READ_ONCE(sk->sk_sndbuf);
}

/* Wakes who waits for what is queued. */
static inline void umc_data_ready(struct sock *sk)
{
	void (*data_ready)(struct sock *sk) = READ_ONCE(sk->sk_data_ready);

	data_ready(sk);
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
void umc_ends_init(const struct sock *plain);

/* calls.c */
struct umc_call *umc_call_new(void);
void umc_call_free(struct umc_call *call);
int umc_call_insert(struct umc_member *caller, struct umc_member *callee, u32 key,
		    struct umc_call **spare);
bool umc_call_end(struct umc_member *caller, const struct umc_member *callee, u32 key);
void umc_idle_calls_free(struct umc_member *caller);
void umc_calls_begin(struct umc_member *member);
void umc_calls_grow(struct umc_member *caller);
void umc_calls_purge(struct umc_member *caller);
void umc_debts_purge(struct umc_member *callee);
int umc_pending_add(struct umc_group *group, const struct umc_pending *pending);
int umc_pending_take(struct umc_group *group, struct umc_pending *pending);
int umc_pending_list(struct umc_group *group, struct umc_pending_list *list);
int umc_calls_init(void);
void umc_calls_exit(void);

#endif /* _UMC_MEMBER_H */
