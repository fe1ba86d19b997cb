/* SPDX-License-Identifier: GPL-2.0 */
/* What the owner sets and senders find: filters and stamps. */
#ifndef _UMC_FILTER_H
#define _UMC_FILTER_H

#include <linux/filter.h>
#include <linux/llist.h>
#include <linux/rcupdate.h>
#include <linux/skbuff.h>
#include <linux/srcu.h>

#include "include/uapi/linux/unix_multicast.h"

#define UMC_LOOKED_LENGTH	0x80000000U	/* a filter asked for the length */

struct umc_group;
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

extern struct srcu_struct umc_srcu;

/* reap.c */
void umc_reap(struct umc_garbage *garbage, void (*free)(struct umc_garbage *garbage));
void umc_reap_all(void);

/* filter.c */
int umc_revoke(struct umc_group *group);
u32 umc_filter_run(const struct umc_chain *chain, struct sk_buff *message, u32 *looked);
int umc_filter_set(struct umc_group *group, const struct umc_filter *filter);
void umc_chain_free(struct umc_chain *chain);

/* interpret.c */
bool umc_may_interpret(struct sock_filter *program, u32 length);
u32 umc_interpret(const struct sock_filter *f, const struct sk_buff *message, u32 *looked);

/* stamp.c */
int umc_stamp_set(struct umc_group *group, const struct umc_stamp *stamp);
int umc_mark_set(struct umc_group *group, const struct umc_mark *mark);

#endif /* _UMC_FILTER_H */
