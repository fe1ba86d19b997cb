// SPDX-License-Identifier: GPL-2.0
/* The kernel's copy of a message: what filters see is what receivers get. */

#include <linux/uio.h>

#include "umc.h"

/* Fits a page with its headroom; a hook keeps one of these. */
#define UMC_SMALL	((u32)SKB_WITH_OVERHEAD(PAGE_SIZE))

/* Everything else is for af_unix to understand, or to refuse. */
#define UMC_PLAIN_FLAGS	(MSG_DONTWAIT | MSG_NOSIGNAL | MSG_EOR | MSG_CMSG_COMPAT)

/*
 * On a page of its own: when a slab is copied to, the object is looked up each
 * time, which costs as much as the copy.
 */
static struct sk_buff *umc_buffer_small(gfp_t gfp)
{
	struct page *page = alloc_page(gfp);
	struct sk_buff *message = page ? build_skb(page_address(page), PAGE_SIZE) : NULL;

	if (page && !message)
		put_page(page);
	return message;
}

static struct sk_buff *umc_buffer_get(struct umc_hook *hook, size_t len)
{
	gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_NOWARN;
	u32 size = UMC_MAX_STAMP + len;
	struct sk_buff *message;

	if (size <= UMC_SMALL) {
		message = xchg(&hook->buffer, NULL);
		if (message)
			return message;
		message = umc_buffer_small(gfp);
	} else {
		message = alloc_skb(size, gfp | __GFP_NORETRY);
	}
	if (message)
		skb_reserve(message, UMC_MAX_STAMP);
	return message;
}

static bool umc_buffer_copy(struct sk_buff *copy, size_t len, struct iov_iter *from)
{
	u8 *to = skb_put(copy, len);

	if (copy->head_frag)
		return copy_page_from_iter(virt_to_page(to), offset_in_page(to), len, from) == len;
	return copy_from_iter_full(to, len, from);
}

/**
 * umc_buffer_fill - copy a message
 * @hook:	sender's
 * @msg:	advanced by @len on success
 * @len:	bytes
 * @message:	out
 *
 * Return: 0, or the reason to ask.
 */
int umc_buffer_fill(struct umc_hook *hook, struct msghdr *msg, size_t len,
		    struct sk_buff **message)
{
	struct sk_buff *copy;

	if (msg->msg_controllen || msg->msg_namelen || msg->msg_flags & ~UMC_PLAIN_FLAGS)
		return UMC_ASKED_CONTROL;
	if (!len || len > UMC_MAX_MESSAGE)
		return UMC_ASKED_SIZE;
	copy = umc_buffer_get(hook, len);
	if (!copy)
		return UMC_ASKED_MEMORY;
	*message = copy;
	if (!umc_buffer_copy(copy, len, &msg->msg_iter))
		return UMC_ASKED_FAULT;
	skb_reset_mac_header(copy);
	skb_reset_network_header(copy);
	return 0;
}

/* Gives the buffer back; a spilled one now belongs to the spill queue. */
void umc_buffer_put(struct umc_hook *hook, struct sk_buff *message)
{
	if (!message)
		return;
	if (skb_end_offset(message) == UMC_SMALL && !skb_shared(message)) {
		message->data = message->head + UMC_MAX_STAMP;
		message->len = 0;
		skb_reset_tail_pointer(message);
		if (!cmpxchg(&hook->buffer, NULL, message))
			return;
	}
	consume_skb(message);
}

static bool umc_grow_length(u8 *at, u32 by, bool big_endian)
{
	u32 length = big_endian ? get_unaligned_be32(at) : get_unaligned_le32(at);

	if (length > U32_MAX - by)
		return false;
	if (big_endian)
		put_unaligned_be32(length + by, at);
	else
		put_unaligned_le32(length + by, at);
	return true;
}

/**
 * umc_buffer_stamp - insert the sender's stamp
 * @message:	has UMC_MAX_STAMP bytes of headroom
 * @mold:	or NULL
 * @verdict:	tells the byte order of the length
 *
 * Return: 0, or the reason to ask.
 */
int umc_buffer_stamp(struct sk_buff *message, const struct umc_mold *mold, u32 verdict)
{
	if (!mold || !mold->length)
		return 0;
	if (message->len < mold->offset)
		return UMC_ASKED_STAMP;
	if (mold->flags & UMC_STAMP_LENGTH &&
	    !umc_grow_length(message->data + mold->length_offset, mold->length,
			     verdict & UMC_VERDICT_BIG_ENDIAN))
		return UMC_ASKED_STAMP;
	skb_push(message, mold->length);
	memmove(message->data, message->data + mold->length, mold->offset);
	memcpy(message->data + mold->offset, mold->bytes, mold->length);
	return 0;
}
