// SPDX-License-Identifier: GPL-2.0
/*
 * Verdicts, and the receivers of a multicast, are remembered by header: a message
 * whose header has been judged before, but for its length and a word that the
 * owner named, is not judged again.  A hit takes one comparison instead of the
 * filters of the sender and of all members.
 *
 * A verdict holds for the egress filter that gave it; for the receivers see
 * receivers.c.  Nothing is remembered of a message that a filter has looked into
 * behind the header, nor with a filter that is compiled, which does not tell.
 *
 * Below tx nothing is allocated: what there was no room for is stored the next
 * time, with room that was made before.
 */

#include <linux/jhash.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>

#include "memo.h"

static bool remember = true;
module_param(remember, bool, 0644);
MODULE_PARM_DESC(remember, "remember the verdicts of filters by the header of a message");

static u32 umc_memo_hash(const struct umc_shape *shape, const u8 *header, u32 size)
{
	u32 from = max(shape->skip_at, shape->length_at) + 4;

	return from < size ? jhash(header + from, size - from, size) : size;
}

/* Without the key, which may be anywhere: the first bytes must do. */
static u32 umc_memo_tag(const struct umc_shape *shape, const u8 *header, u32 size)
{
	u32 to = min(shape->skip_at, shape->length_at);

	return ~size ^ (to >= 4 ? get_unaligned((const u32 *)header) : 0);
}

/* Is it the same, but for these words?  They are in order; 0 as the last: none. */
static bool umc_same_but(const u8 *one, const u8 *other, u32 size, const u32 words[3])
{
	u32 i, from = 0;

	for (i = 0; i < 3 && (i < 2 || words[i]); i++) {
		if (memcmp(one + from, other + from, words[i] - from))
			return false;
		from = words[i] + 4;
	}
	return !memcmp(one + from, other + from, size - from);
}

static bool umc_memo_is(const struct umc_memo *memo, const struct umc_shape *shape,
			const struct sk_buff *message, u32 size)
{
	const u32 words[3] = {
		min(shape->skip_at, shape->length_at), max(shape->skip_at, shape->length_at),
		memo->masked,
	};

	return memo->size == size && message->len <= memo->longest &&
	       memo->body == (message->len > size) &&
	       umc_same_but(memo->header, message->data, size, words);
}

static void umc_memo_free(struct umc_memo *memo)
{
	if (!memo)
		return;
	kfree(memo->list);
	kfree(memo);
}

/* No sender can find it any more. */
void umc_memory_free(struct umc_memory *memory)
{
	u32 i;

	if (!memory)
		return;
	for (i = 0; i < memory->count; i++)
		umc_memo_free(memory->memos[i]);
	umc_memo_free(memory->spare);
	kfree(memory->spare_list);
	kfree(memory);
}

/* Before tx is taken: room for what may have to be remembered.  It may fail. */
void umc_memory_prepare(struct umc_send *send, const struct umc_member *from)
{
	const gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_NOWARN;
	u32 room = READ_ONCE(from->list_wanted);

	send->header = READ_ONCE(remember) ? umc_header(&from->group->shape, send->message) : 0;
	if (!send->header)
		return;
	if (!READ_ONCE(from->memory))
		send->memory = kzalloc(sizeof(*send->memory), gfp);
	if (READ_ONCE(from->memo_wanted)) {
		send->memo_room = kmalloc(struct_size(send->memo_room, header, send->header), gfp);
		if (send->memo_room) {
			send->memo_room->room = send->header;
			send->memo_room->list = NULL;
		}
	}
	if (room)
		send->list_room = kmalloc(struct_size(send->list_room, index, room), gfp);
	if (send->list_room)
		send->list_room->room = room;
}

/* After tx: what was not used. */
void umc_memory_finish(struct umc_send *send)
{
	kfree(send->memory);
	umc_memo_free(send->memo_room);
	kfree(send->list_room);
	send->memory = NULL;
	send->memo_room = NULL;
	send->list_room = NULL;
}

/* tx held: takes what was made.  What it replaces is freed later. */
static struct umc_memory *umc_memory_take(struct umc_send *send)
{
	struct umc_member *from = send->member;

	if (!from->memory) {
		WRITE_ONCE(from->memory, send->memory);
		send->memory = NULL;
	}
	if (from->memory && send->memo_room) {
		swap(from->memory->spare, send->memo_room);
		WRITE_ONCE(from->memo_wanted, false);
	}
	if (from->memory && send->list_room) {
		swap(from->memory->spare_list, send->list_room);
		WRITE_ONCE(from->list_wanted, 0);
	}
	return from->memory;
}

/* ---- verdicts; tx held ---- */

/* Given by the filters that are in force? */
static bool umc_memo_holds(const struct umc_memo *memo, const struct umc_send *send)
{
	return memo->chain == (send->own ? send->own->id : 0) &&
	       memo->shared == (send->shared ? send->shared->id : 0);
}

/* To whom goes a message to a name, if that is its verdict? */
static u32 umc_memo_verdict(struct umc_memo *memo, struct umc_send *send)
{
	if (memo->named != send->epoch) {
		memo->receiver = umc_name_resolve(send, memo->verdict);
		memo->named = send->epoch;
	}
	return memo->receiver;
}

/**
 * umc_recall - what did the egress filters say of a message with that header?
 * @send:	the message
 * @verdict:	out; UMC_ASK: it named a receiver that there is not, or not any more
 *
 * Return: it is known
 */
bool umc_recall(struct umc_send *send, u32 *verdict)
{
	const struct umc_shape *shape = &send->member->group->shape;
	struct umc_memory *memory;
	struct umc_memo *memo;
	u32 i, hash, tag;

	send->memo = NULL;
	send->recalled = false;
	send->looked = 0;
	memory = send->header ? umc_memory_take(send) : NULL;
	if (!memory || !memory->count)
		return false;
	i = memory->last;
	memo = memory->memos[i];
	if (umc_memo_holds(memo, send) && umc_memo_is(memo, shape, send->message, send->header))
		goto found;
	hash = umc_memo_hash(shape, send->message->data, send->header);
	tag = umc_memo_tag(shape, send->message->data, send->header);
	for (i = 0; i < memory->count; i++) {
		memo = memory->memos[i];
		if ((memory->tags[i] == hash || memory->tags[i] == tag) &&
		    umc_memo_holds(memo, send) &&
		    umc_memo_is(memo, shape, send->message, send->header))
			goto found;
	}
	return false;
found:
	memory->last = i;
	*verdict = umc_memo_verdict(memo, send);
	send->memo = memo;
	send->recalled = true;
	return true;
}

/* The key of a reply differs each time, and must not be among the other words. */
static bool umc_memo_mask(struct umc_memo *memo, const struct umc_shape *shape)
{
	u32 key = (memo->verdict & UMC_VERDICT_KEY_MASK) >> UMC_VERDICT_KEY_SHIFT << 2;

	memo->masked = 0;
	if (!(memo->verdict & (UMC_VERDICT_REPLY | UMC_VERDICT_CALL)) || key == shape->skip_at)
		return true;
	memo->masked = key;
	return key >= max(shape->skip_at, shape->length_at) + 4 && key + 4 <= memo->size;
}

/* After umc_recall() has found nothing. */
void umc_remember(struct umc_send *send, u32 verdict)
{
	const struct umc_shape *shape = &send->member->group->shape;
	struct umc_memory *memory = send->member->memory;
	u32 kind = verdict & UMC_KIND_MASK, i;
	struct umc_memo *memo;

	/* Of the length it knows that it is what the header says. */
	if (!send->header || (send->looked & ~UMC_LOOKED_LENGTH) > send->header || !memory ||
	    (kind != UMC_UNICAST && kind != UMC_MULTICAST && kind != UMC_NAMED))
		return;
	memo = memory->spare;
	if (!memo || memo->room < send->header) {
		WRITE_ONCE(send->member->memo_wanted, true);
		return;
	}
	memo->chain = send->own ? send->own->id : 0;
	memo->shared = send->shared ? send->shared->id : 0;
	memo->verdict = verdict;
	memo->named = send->epoch - 1;
	memo->longest = send->message->len;
	memo->size = send->header;
	memo->body = send->message->len > send->header;
	memo->listed = false;
	if (!umc_memo_mask(memo, shape))
		return;
	memcpy(memo->header, send->message->data, memo->size);
	if (memory->count < UMC_MEMOS) {
		i = memory->count++;
		memory->spare = NULL;
	} else {
		i = memory->next++ % UMC_MEMOS;
		memory->spare = memory->memos[i];
	}
	memory->memos[i] = memo;
	memory->tags[i] = memo->masked ? umc_memo_tag(shape, memo->header, memo->size) :
					 umc_memo_hash(shape, memo->header, memo->size);
	send->memo = memo;
}
