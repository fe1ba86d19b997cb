/* SPDX-License-Identifier: GPL-2.0 */
/* What is remembered of one sender's messages; by its tx. */
#ifndef _UMC_MEMO_H
#define _UMC_MEMO_H

#include "umc.h"

#define UMC_SETS	32	/* by hash */
#define UMC_WAYS	4	/* memos of one sender in a set */
#define UMC_KEYS	4	/* places where keys stand */
#define UMC_HEADER	512	/* longer ones are not remembered */

/* A message whose header looks like this. */
struct umc_memo {
	u64 chain;		/* id of the sender's own egress filter; 0: it had none */
	u64 shared;		/* of the shared one */
	u64 wanted;		/* what ingress filters had said then: group->wanted */
	int epoch;		/* nothing has changed since, if the group's is the same */
	u32 verdict;
	u32 receiver;		/* with UMC_NAMED: UMC_UNICAST, or UMC_ASK */
	int named;		/* group->epoch when that was found */
	u32 longest;		/* holds for messages up to that length */
	u16 room;		/* for a header */
	u16 size;		/* of the header */
	u16 masked;		/* where the key is, which differs in each message; 0: none */
	bool body;		/* there is something behind the header */
	bool listed;		/* list has the receivers */
	struct umc_list *list;
	u8 header[];
};

struct umc_list {
	u32 room;
	u32 count;
	u16 index[];		/* in that order */
};

struct umc_memory {
	struct umc_memo *last;	/* that was recalled or remembered; or NULL */
	struct umc_memo *spare;	/* room for the next one */
	struct umc_list *spare_list;
	u32 keys;
	u16 key_at[UMC_KEYS];	/* where memos are masked */
	u8 next[UMC_SETS];	/* to be replaced, when a set is full */
	u32 tags[UMC_SETS][UMC_WAYS];
	struct umc_memo *memos[UMC_SETS][UMC_WAYS];
};

#endif /* _UMC_MEMO_H */
