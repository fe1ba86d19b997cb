// SPDX-License-Identifier: GPL-2.0
/* What a header looks like: the one thing that the owner tells about its protocol. */

#include "memo.h"

int umc_shape_set(struct umc_group *group, const struct umc_shape *shape)
{
	u32 least = shape->length_at + 4;
	int err = 0;

	if (group->address)
		return -EOPNOTSUPP;
	if (shape->flags & ~(UMC_SHAPE_BIG_ENDIAN | UMC_SHAPE_ORDER | UMC_SHAPE_TOTAL) ||
	    shape->size > UMC_HEADER || shape->size < 4 || shape->length_at > shape->size - 4 ||
	    shape->skip_at > shape->size - 4 || shape->order_at >= shape->size ||
	    !is_power_of_2(shape->alignment) || shape->alignment > 256 ||
	    shape->reserved[0] || shape->reserved[1])
		return -EINVAL;
	if (shape->length_at % 4 || shape->skip_at % 4)
		return -EINVAL;
	if (shape->fields_at != UMC_ANY && shape->fields_at > shape->size - 4)
		return -EINVAL;
	/* What is compared must not overlap. */
	if (shape->skip_at < least && shape->length_at < shape->skip_at + 4)
		return -EINVAL;
	spin_lock(&group->lock);
	if (group->members)
		err = -EBUSY;
	else
		group->shape = *shape;
	spin_unlock(&group->lock);
	return err;
}

static u32 umc_word(const u8 *at, bool big_endian)
{
	return big_endian ? get_unaligned_be32(at) : get_unaligned_le32(at);
}

/*
 * The size of its header, or 0: nothing is remembered of it.  The shape does not
 * change while there is a member.
 */
u32 umc_header(const struct umc_shape *shape, const struct sk_buff *message)
{
	bool big_endian = shape->flags & UMC_SHAPE_BIG_ENDIAN;
	u32 fields = 0, size, length;

	if (!shape->size || message->len < shape->size)
		return 0;
	if (shape->flags & UMC_SHAPE_ORDER) {
		u8 order = message->data[shape->order_at];

		if (order != shape->little && order != shape->big)
			return 0;
		big_endian = order == shape->big;
	}
	if (!umc_word(message->data + shape->skip_at, big_endian))
		return 0;
	if (shape->fields_at != UMC_ANY)
		fields = umc_word(message->data + shape->fields_at, big_endian);
	if (fields > UMC_HEADER - shape->size)
		return 0;
	size = ALIGN(shape->size + fields, shape->alignment);
	length = umc_word(message->data + shape->length_at, big_endian);
	if (size > message->len ||
	    (shape->flags & UMC_SHAPE_TOTAL ? message->len : message->len - size) != length)
		return 0;
	return size;
}
