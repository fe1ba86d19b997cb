/* SPDX-License-Identifier: GPL-2.0 */
/* Groups, and what their owner does with them. */
#ifndef _UMC_GROUP_H
#define _UMC_GROUP_H

#include <linux/fs.h>
#include <linux/uidgid.h>
#include <linux/uio.h>

#include "member.h"

#define UMC_FEW		8

/* Messages of which classes one accepts. */
struct umc_accepts {
	u32 generation;			/* of the group, when this was set */
	u64 from[UMC_TOPICS];		/* 1 << class */
};

/* An entry of UMC_WRITE. */
struct umc_writing {
	struct umc_write_entry entry;
	struct umc_member *member;	/* NULL: no such member */
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
	atomic64_t alarms;		/* of watched descriptors; without lock */
	u64 answered;			/* alarms; another number than that: the gate is closed */
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
	struct umc_chain __rcu *shared;	/* egress filter of all members with a class */
	struct hlist_head *named;	/* names, by hash */
	u32 named_mask;
	u32 named_count;
	struct umc_accepts accepts[UMC_MAX_CLASSES];
	struct umc_stats retired;	/* of members that are forgotten */
	struct mutex write;		/* one UMC_WRITE at a time */
	struct umc_writing few[UMC_FEW];	/* its entries, unless there are more */
	struct iovec parts[UMC_FEW];	/* of an entry, likewise */
	struct mutex multicast;		/* one multicast at a time */
	struct umc_member **hits;	/* multicast: the receivers */
	spinlock_t spill_lock;		/* spills */
	struct list_head spills;
	wait_queue_head_t event_wait;	/* for a spill or an alarm */
	struct mutex watch;		/* watched descriptors */
	struct list_head watchers;
	u32 watched;
	spinlock_t calls_lock;		/* see struct umc_call */
	struct list_head call_ages;	/* oldest first */
	u32 calls;
};

extern const struct file_operations umc_group_fops;

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

/* A change that senders must not overlook; group->lock held, after the change.  Or an alarm. */
static inline void umc_group_changed(struct umc_group *group)
{
	/* Fully ordered: pairs with umc_committed(). */
	atomic_inc_return(&group->epoch);
}

/* Is the gate closed by a watched descriptor? */
static inline bool umc_alarmed(const struct umc_group *group)
{
	return unlikely(atomic64_read(&group->alarms) != READ_ONCE(group->answered));
}

/* A filter of a member or of the rest, if it is in force.  Inside umc_srcu. */
static inline const struct umc_chain *umc_chain(const struct umc_group *group,
						struct umc_chain __rcu * const *place)
{
	const struct umc_chain *chain = srcu_dereference(*place, &umc_srcu);

	return chain && chain->generation == READ_ONCE(group->generation) ? chain : NULL;
}

/* shape.c */
int umc_shape_set(struct umc_group *group, const struct umc_shape *shape);

/* receivers.c */
void umc_wanted_changed(struct umc_group *group, struct umc_member *member);

/* name.c */
int umc_names_init(struct umc_group *group);
void umc_names_purge(struct umc_member *member);
int umc_name_set(struct umc_group *group, const struct umc_name *name);
int umc_class_set(struct umc_group *group, const struct umc_class *class);
int umc_accept_set(struct umc_group *group, const struct umc_accept *accept);
const struct umc_chain *umc_shared(const struct umc_member *from);

/* write.c */
int umc_write(struct umc_group *group, const struct umc_write *write);

/* watch.c */
int umc_watch(struct umc_group *group, const struct umc_watch *watch);
bool umc_watch_read(struct umc_group *group, u64 *alarms);
void umc_watch_end(struct umc_group *group);

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

#endif /* _UMC_GROUP_H */
