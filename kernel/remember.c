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

#include <linux/moduleparam.h>
#include <linux/slab.h>

#include "memo.h"

#define UMC_FACTOR	0x9e3779b97f4a7c14ULL	/* even: factors are odd */
#define UMC_ROOM	64		/* headers of similar sizes take each other's room */

static bool remember = true;
module_param(remember, bool, 0644);
MODULE_PARM_DESC(remember, "remember the verdicts of filters by the header of a message");

/* What the word at that place, a multiple of 4, adds to the hash of its header. */
static u64 umc_hash_word(const u8 *header, u32 at)
{
	return ((u64)get_unaligned_le32(header + at) << at % 8 * 8) * (UMC_FACTOR * (at / 8) + 1);
}

/*
 * A sum of all words, from which those that differ can be taken again.  A sender
 * that makes them collide makes only its own lookups slower.
 */
static u64 umc_hash_header(const struct umc_shape *shape, const u8 *header, u32 size)
{
	u64 hash = 0, factor = 1, last = 0;
	u32 i;

	for (i = 0; i + 8 <= size; i += 8, factor += UMC_FACTOR)
		hash += get_unaligned_le64(header + i) * factor;
	if (i < size) {
		memcpy(&last, header + i, size - i);
		hash += le64_to_cpu((__force __le64)last) * factor;
	}
	return hash - umc_hash_word(header, shape->skip_at) -
	       umc_hash_word(header, shape->length_at);
}

/* Of a header with its key at that place; 0: without. */
static u32 umc_tag(u64 hash, const u8 *header, u32 size, u32 key_at)
{
	if (key_at)
		hash -= umc_hash_word(header, key_at);
	return (u32)(hash >> 32) ^ (u32)hash ^ size ^ key_at << 16;
}

/* Is it the same, but for the words that may differ?  Those of the memo become the message's. */
static bool umc_memo_is(struct umc_memo *memo, const struct umc_shape *shape,
			const struct sk_buff *message, u32 size)
{
	const u8 *header = message->data;
	bool body = message->len > size;

	if (memo->size != size || message->len > memo->longest || memo->body != body)
		return false;
	memcpy(memo->header + shape->skip_at, header + shape->skip_at, 4);
	memcpy(memo->header + shape->length_at, header + shape->length_at, 4);
	if (memo->masked)
		memcpy(memo->header + memo->masked, header + memo->masked, 4);
	return !memcmp(memo->header, header, size);
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
	for (i = 0; i < UMC_SETS * UMC_WAYS; i++)
		umc_memo_free(memory->memos[i / UMC_WAYS][i % UMC_WAYS]);
	umc_memo_free(memory->spare);
	kfree(memory->spare_list);
	kfree(memory);
}

/* Before tx is taken: room for what may have to be remembered.  It may fail. */
void umc_memory_prepare(struct umc_send *send, const struct umc_member *from)
{
	const gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_NOWARN;
	u32 room = READ_ONCE(from->list_wanted), size = READ_ONCE(from->memo_wanted);

	send->header = READ_ONCE(remember) ? umc_header(&from->group->shape, send->message) : 0;
	if (!send->header)
		return;
	if (!READ_ONCE(from->memory))
		send->memory = kzalloc(sizeof(*send->memory), gfp);
	if (size) {
		/* Not this message's: shorter ones may always come next to it. */
		size = ALIGN(max(size, send->header), UMC_ROOM);
		send->memo_room = kmalloc(struct_size(send->memo_room, header, size), gfp);
		if (send->memo_room) {
			send->memo_room->room = size;
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
	if (likely(!send->memory && !send->memo_room && !send->list_room))
		return;
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
		WRITE_ONCE(from->memo_wanted, 0);
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

/* The verdict, with the receiver instead of a name. */
static u32 umc_memo_verdict(struct umc_memo *memo, struct umc_send *send)
{
	if (memo->named != send->epoch) {
		memo->receiver = umc_name_resolve(send, memo->verdict);
		memo->named = send->epoch;
	}
	return memo->receiver;
}

static bool umc_memo_fits(struct umc_memo *memo, const struct umc_send *send)
{
	return umc_memo_holds(memo, send) &&
	       umc_memo_is(memo, &send->member->group->shape, send->message, send->header);
}

static struct umc_memo *umc_memo_find(struct umc_memory *memory, struct umc_send *send)
{
	const u8 *header = send->message->data;
	u32 i, way;

	if (memory->last && umc_memo_fits(memory->last, send))
		return memory->last;
	send->hash = umc_hash_header(&send->member->group->shape, header, send->header);
	for (i = 0; i <= memory->keys; i++) {
		u32 key_at = i ? memory->key_at[i - 1] : 0, tag, set;

		if (key_at + 4 > send->header)
			continue;
		tag = umc_tag(send->hash, header, send->header, key_at);
		set = tag % UMC_SETS;
		for (way = 0; way < UMC_WAYS; way++) {
			struct umc_memo *memo = memory->memos[set][way];

			if (memory->tags[set][way] == tag && memo && memo->masked == key_at &&
			    umc_memo_fits(memo, send))
				return memo;
		}
	}
	return NULL;
}

/**
 * umc_recall - what did the egress filters say of a message with that header?
 * @send:	the message
 * @verdict:	out; UMC_ASK also if it named a receiver that there is not, or not any more
 *
 * Return: it is known
 */
bool umc_recall(struct umc_send *send, u32 *verdict)
{
	struct umc_memory *memory = send->header ? umc_memory_take(send) : NULL;
	struct umc_memo *memo = memory ? umc_memo_find(memory, send) : NULL;

	send->memo = memo;
	send->recalled = memo;
	send->looked = 0;
	if (!memo)
		return false;
	memory->last = memo;
	*verdict = umc_memo_verdict(memo, send);
	return true;
}

/* Neither filter has named a receiver. */
bool umc_memo_asks(const struct umc_memo *memo)
{
	return memo->verdict == UMC_ASK;
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

/* Memos are found by the places of their keys; false: there are too many. */
static bool umc_memory_has_key(struct umc_memory *memory, u32 key_at)
{
	u32 i;

	if (!key_at)
		return true;
	for (i = 0; i < memory->keys; i++)
		if (memory->key_at[i] == key_at)
			return true;
	if (memory->keys == UMC_KEYS)
		return false;
	memory->key_at[memory->keys++] = key_at;
	return true;
}

/* After umc_recall() has found nothing. */
void umc_remember(struct umc_send *send, u32 verdict)
{
	const struct umc_shape *shape = &send->member->group->shape;
	struct umc_memory *memory = send->member->memory;
	u32 kind = verdict & UMC_KIND_MASK, tag, set, way;
	struct umc_memo *memo;

	/* Of the length it knows that it is what the header says. */
	if (!send->header || (send->looked & ~UMC_LOOKED_LENGTH) > send->header || !memory ||
	    (kind != UMC_UNICAST && kind != UMC_MULTICAST && kind != UMC_NAMED &&
	     kind != UMC_ASK && kind != UMC_ASK_NOW))
		return;
	if (kind == UMC_ASK || kind == UMC_ASK_NOW)
		verdict = UMC_ASK;
	memo = memory->spare;
	if (!memo || memo->room < send->header) {
		WRITE_ONCE(send->member->memo_wanted, send->header);
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
	if (!umc_memo_mask(memo, shape) || !umc_memory_has_key(memory, memo->masked))
		return;
	memcpy(memo->header, send->message->data, memo->size);
	tag = umc_tag(send->hash, memo->header, memo->size, memo->masked);
	set = tag % UMC_SETS;
	way = memory->next[set]++ % UMC_WAYS;
	memory->spare = memory->memos[set][way];
	memory->memos[set][way] = memo;
	memory->tags[set][way] = tag;
	memory->last = memo;
	send->memo = memo;
}
