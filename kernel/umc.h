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
 *   hook->tx			one sender's direct deliveries
 *     group->multicast		multicasts
 *       member->rx		deliveries to one receiver
 *         iolock of the receiver, which is only tried (append.c)
 *           unix_state_lock, sk_receive_queue.lock (af_unix)
 *         group->spill_lock
 *   group->lock		members, filters, stamps, marks, gate
 *     umc_hooks_lock		the swap of proto_ops, hook->member
 *       sk_callback_lock, umc_ends_lock
 *   rx or group->lock
 *     group->calls_lock
 *   umc_users_lock, umc_waker.lock	leaves
 *
 * A sender may be throttled or pre-empted while it holds tx, multicast and rx,
 * since its filters and the original sendmsg may sleep.  So no other task
 * waits for them: other senders try, and ask; the owner of the group never
 * takes tx or multicast but by trying (UMC_RELEASE), and finds rx taken or not
 * (UMC_WRITE).  All others are spinlocks, or taken by the owner alone.
 *
 * The owner's changes therefore don't wait for senders: under group->lock they
 * replace pointers and increment group->epoch.  A sender notes the epoch before
 * it looks at anything, and once it has rx of all its receivers it looks again
 * (umc_committed()).  If the epoch has changed, it asks.  If not, its deliveries
 * come before the change: whatever the owner writes to these receivers from now
 * on finds rx taken, and waits in the daemon.
 *
 * What a sender finds (members, filters, stamps) it uses inside umc_srcu, and it
 * is freed after all who may have found it have left (reap.c).
 *
 * Below tx no user memory is touched and the module allocates nothing.
 */
#ifndef _UMC_H
#define _UMC_H

#include <linux/filter.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/mutex.h>
#include <linux/net.h>
#include <linux/rcupdate.h>
#include <linux/skbuff.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <net/af_unix.h>
#include <net/sock.h>

#include "compat.h"
#include "include/uapi/linux/unix_multicast.h"

#define UMC_PASS_ON		(-4095)		/* not a member: send as ever */
#define UMC_WAIT_FOR_ROOM	(-4094)
#define UMC_FEW_CALLS		8		/* buckets, until a caller needs more */
#define UMC_REFUSALS		32
#define UMC_LOOKED_LENGTH	0x80000000U	/* a filter asked for the length */

struct umc_group;
struct umc_hook;
struct umc_list;
struct umc_member;
struct umc_memo;
struct umc_memory;
struct umc_user;

/* Something that senders may still be using. */
struct umc_garbage {
	struct llist_node node;
	void (*free)(struct umc_garbage *garbage);
};

/* One program, compiled or not. */
struct umc_code {
	struct bpf_prog *compiled;	/* or NULL */
	struct sock_filter code[];
};

/* A filter: programs, of which the first that does not ask decides.  Never changed once set. */
struct umc_chain {
	struct umc_garbage garbage;
	u64 id;			/* of all that there ever were */
	struct umc_user *user;	/* charged for length */
	u32 generation;		/* of the group, when it was set */
	u32 count;
	u32 length;		/* instructions, all programs together */
	struct umc_code *programs[];
};

/* Bytes to be inserted.  Never changed. */
struct umc_mold {
	struct umc_garbage garbage;
	u32 flags;
	u32 length;
	u32 offset;
	u32 length_offset;
	u8 bytes[];
};

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
	u64 wanted;			/* group->wanted, when ingress was set */
	struct list_head recent;	/* in group->recent */
	struct umc_mold __rcu *mold;
	/* by tx */
	u64 direct;
	u64 multicast;
	u64 copies;
	u64 asked[UMC_ASKED_REASONS];
	u64 refused[UMC_REFUSALS];	/* ids of members that it may not send to */
	const struct umc_chain *refused_by;	/* the egress filter when these were asked for */
	struct umc_memory *memory;	/* of what it has sent; or NULL */
	bool memo_wanted;		/* there was no room to remember a verdict */
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
	u32 bucket_mask;
	struct hlist_head *buckets;	/* few, or allocated */
	struct hlist_head few[UMC_FEW_CALLS];
	struct list_head made;		/* its calls, oldest first */
	struct list_head owed;		/* calls that it has to answer, oldest first */
};

struct umc_group {
	struct kref ref;		/* the file's and each member's */
	/* never changed */
	u32 id;
	u32 flags;
	u32 mode;
	u32 max_members;
	u32 max_calls;
	u32 budget;			/* filter instructions of one multicast */
	u32 seed;			/* of the hash of calls */
	struct umc_user *user;
	struct sock *address;		/* of a datagram group */
	struct dentry *debugfs;
	struct list_head names;		/* umc_names_mutex */
	/* by lock; senders read them, inside umc_srcu */
	spinlock_t lock;
	atomic_t epoch;			/* counts changes */
	u32 generation;			/* filters of another are revoked */
	struct umc_member __rcu **table;	/* dead ones too, until they are forgotten */
	u32 top;			/* above the highest index in use */
	u32 members;
	bool closed;
	bool gated;
	struct umc_shape shape;		/* only without members; size 0: none */
	u64 wanted;			/* counts changes of what members want */
	u64 wanted_all;			/* the last that was not of one member's filter alone */
	struct list_head recent;	/* members, the one whose filter changed last first */
	struct umc_chain __rcu *first;	/* only without members */
	struct umc_chain __rcu *rest;
	struct umc_stats retired;	/* of members that are forgotten */
	struct mutex write;		/* one UMC_WRITE at a time */
	struct mutex multicast;		/* one multicast at a time */
	struct umc_member **hits;	/* multicast: the receivers */
	spinlock_t spill_lock;		/* spills */
	struct list_head spills;
	wait_queue_head_t spill_wait;
	spinlock_t calls_lock;		/* see struct umc_call */
	struct list_head call_ages;	/* oldest first */
	u32 calls;
};

/* One message on its way. */
struct umc_send {
	struct umc_hook *hook;
	struct umc_member *member;	/* valid inside umc_srcu */
	int epoch;			/* of the group, before anything else was looked at */
	struct sk_buff *message;
	u32 header;			/* its size, if it may be remembered; or 0 */
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

extern const struct file_operations umc_group_fops;
extern struct srcu_struct umc_srcu;

/* reap.c */
void umc_reap(struct umc_garbage *garbage, void (*free)(struct umc_garbage *garbage));
void umc_reap_all(void);

/* user.c */
struct umc_user *umc_user_get(bool privileged);
void umc_user_put(struct umc_user *user);
int umc_user_charge(struct umc_user *user, u32 members, u32 instructions);
void umc_user_uncharge(struct umc_user *user, u32 members, u32 instructions);
u32 umc_user_max_members(const struct umc_user *user);
u32 umc_user_budget(void);

/* group.c */
int umc_group_create(const struct umc_create *create);
bool umc_address_is(const struct sock *sk, const void *name, u32 length);
struct umc_group *umc_group_get_by_address(struct net *net, const struct umc_join *join);
void umc_group_put(struct umc_group *group);

/* A change that senders must not overlook; group->lock held, after the change. */
static inline void umc_group_changed(struct umc_group *group)
{
	/* Fully ordered: pairs with umc_committed(). */
	atomic_inc_return(&group->epoch);
}

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

/* A filter of a member or of the rest, if it is in force.  Inside umc_srcu. */
static inline const struct umc_chain *umc_chain(const struct umc_group *group,
						struct umc_chain __rcu * const *place)
{
	const struct umc_chain *chain = srcu_dereference(*place, &umc_srcu);

	return chain && chain->generation == READ_ONCE(group->generation) ? chain : NULL;
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

/* buffer.c */
int umc_buffer_fill(struct umc_hook *hook, struct msghdr *msg, size_t len,
		    struct sk_buff **message);
void umc_buffer_put(struct umc_hook *hook, struct sk_buff *message);
int umc_buffer_stamp(struct sk_buff *message, const struct umc_mold *mold, u32 verdict);

/* interpret.c */
bool umc_may_interpret(const struct sock_filter *program, u32 length);
u32 umc_interpret(const struct sock_filter *f, const struct sk_buff *message, u32 *looked);

/* shape.c */
int umc_shape_set(struct umc_group *group, const struct umc_shape *shape);
u32 umc_header(const struct umc_shape *shape, const struct sk_buff *message);

/* remember.c */
void umc_memory_free(struct umc_memory *memory);
void umc_memory_prepare(struct umc_send *send, const struct umc_member *from);
void umc_memory_finish(struct umc_send *send);
bool umc_recall(struct umc_send *send, const struct umc_chain *chain, u32 *verdict);
void umc_remember(struct umc_send *send, const struct umc_chain *chain, u32 verdict);

/* receivers.c */
void umc_wanted_changed(struct umc_group *group, struct umc_member *member);
bool umc_recall_receivers(struct umc_send *send, u32 *count);
void umc_receivers_begin(struct umc_send *send);
void umc_remember_receivers(struct umc_send *send, u32 count);

/* send.c */
bool umc_run_first(const struct umc_group *group, struct sk_buff *message);
int umc_sendmsg(struct socket *sock, struct msghdr *msg, size_t len);

/* deliver.c */
bool umc_try_mutex(struct mutex *lock);
bool umc_try_rx(struct umc_member *member);
void umc_rx_put(struct umc_member *member);
bool umc_committed(const struct umc_send *send);
int umc_rx_begin(struct umc_send *send, struct umc_member *to);
void umc_rx_end(struct umc_member *to);
int umc_room(struct umc_member *to, size_t length);
int umc_deliver(struct umc_send *send, struct umc_member *to);

/* append.c */
#ifdef UMC_CAN_APPEND
struct page *umc_page_new(const struct umc_hook *hook, size_t length);
struct page *umc_page_set(struct umc_hook *hook, struct page *page);
bool umc_may_append(const struct umc_member *to);
bool umc_append(struct umc_send *send, struct umc_member *to);
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
void umc_wake_later(struct umc_member *member);
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

/* filter.c */
int umc_revoke(struct umc_group *group);
u32 umc_filter_run(const struct umc_chain *chain, struct sk_buff *message, u32 *looked);
int umc_filter_set(struct umc_group *group, const struct umc_filter *filter);
void umc_chain_free(struct umc_chain *chain);

/* stamp.c */
int umc_stamp_set(struct umc_group *group, const struct umc_stamp *stamp);
int umc_mark_set(struct umc_group *group, const struct umc_mark *mark);

/* calls.c */
struct umc_call *umc_call_new(void);
void umc_call_free(struct umc_call *call);
int umc_call_insert(struct umc_member *caller, struct umc_member *callee, u32 key,
		    struct umc_call *call);
struct umc_call *umc_call_take(struct umc_member *caller, const struct umc_member *callee, u32 key);
void umc_calls_begin(struct umc_member *member);
void umc_calls_grow(struct umc_member *caller);
void umc_calls_purge(struct umc_member *caller);
void umc_debts_purge(struct umc_member *callee);
int umc_pending_add(struct umc_group *group, const struct umc_pending *pending);
int umc_pending_take(struct umc_group *group, struct umc_pending *pending);
int umc_pending_list(struct umc_group *group, struct umc_pending_list *list);
int umc_calls_init(void);
void umc_calls_exit(void);

/* write.c */
int umc_write(struct umc_group *group, const struct umc_write *write);
int umc_release(struct umc_group *group, const struct umc_release *release);

/* spill.c */
void umc_spill(struct umc_member *from, struct sk_buff *message, struct umc_member *to,
	       u32 written);
ssize_t umc_spill_read(struct umc_group *group, char __user *buf, size_t size, bool nonblock);
void umc_spill_flush(struct umc_group *group);

/* dgram.c */
int umc_dgram_sendmsg(struct socket *sock, struct msghdr *msg, size_t len);
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
