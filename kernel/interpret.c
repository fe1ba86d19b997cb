// SPDX-License-Identifier: GPL-2.0
/*
 * Classic BPF, interpreted.  Compiling takes 2,500 instructions for each of the
 * program's; filters are replaced often, and run seldom where verdicts are
 * remembered.  It also tells how far into the message a program has looked.
 *
 * Messages are linear, and each load is checked against the length.  Programs end:
 * all jumps go forward, inside of the program, and its last instruction returns.
 */

#include "umc.h"

#define UMC_MARK_AT	((u32)(SKF_AD_OFF + SKF_AD_MARK))
#define UMC_HASH_AT	((u32)(SKF_AD_OFF + SKF_AD_RXHASH))
#define UMC_MOST_AT	0x7fffffffU
/* Loads of these two have instructions of their own; of the hash, with a shift and a mask too. */
#define UMC_LD_MARK	0x1000
#define UMC_LD_HASH	0x1001
#define UMC_LD_FIELD	0x1002

/* Not what is left to the compiler: division, and loads of what else a packet has. */
static bool umc_may_interpret_one(const struct sock_filter *f, u32 left)
{
	switch (f->code) {
	case BPF_LD | BPF_W | BPF_ABS:
		return f->k < UMC_MOST_AT || f->k == UMC_MARK_AT || f->k == UMC_HASH_AT;
	case BPF_LD | BPF_H | BPF_ABS:
	case BPF_LD | BPF_B | BPF_ABS:
	case BPF_LDX | BPF_B | BPF_MSH:
	case BPF_LD | BPF_W | BPF_IND:
	case BPF_LD | BPF_H | BPF_IND:
	case BPF_LD | BPF_B | BPF_IND:
		return f->k < UMC_MOST_AT;
	case BPF_LD | BPF_W | BPF_LEN:
	case BPF_LDX | BPF_W | BPF_LEN:
	case BPF_LD | BPF_IMM:
	case BPF_LDX | BPF_IMM:
	case BPF_MISC | BPF_TAX:
	case BPF_MISC | BPF_TXA:
	case BPF_RET | BPF_K:
	case BPF_RET | BPF_A:
	case BPF_ALU | BPF_ADD | BPF_K:
	case BPF_ALU | BPF_ADD | BPF_X:
	case BPF_ALU | BPF_SUB | BPF_K:
	case BPF_ALU | BPF_SUB | BPF_X:
	case BPF_ALU | BPF_MUL | BPF_K:
	case BPF_ALU | BPF_MUL | BPF_X:
	case BPF_ALU | BPF_AND | BPF_K:
	case BPF_ALU | BPF_AND | BPF_X:
	case BPF_ALU | BPF_OR | BPF_K:
	case BPF_ALU | BPF_OR | BPF_X:
	case BPF_ALU | BPF_XOR | BPF_K:
	case BPF_ALU | BPF_XOR | BPF_X:
	case BPF_ALU | BPF_NEG:
		return true;
	case BPF_ALU | BPF_LSH | BPF_K:
	case BPF_ALU | BPF_RSH | BPF_K:
		return f->k < 32;
	case BPF_LD | BPF_MEM:
	case BPF_LDX | BPF_MEM:
	case BPF_ST:
	case BPF_STX:
		return f->k < BPF_MEMWORDS;
	case BPF_JMP | BPF_JA:
		return f->k < left;
	case BPF_JMP | BPF_JEQ | BPF_K:
	case BPF_JMP | BPF_JEQ | BPF_X:
	case BPF_JMP | BPF_JGT | BPF_K:
	case BPF_JMP | BPF_JGT | BPF_X:
	case BPF_JMP | BPF_JGE | BPF_K:
	case BPF_JMP | BPF_JGE | BPF_X:
	case BPF_JMP | BPF_JSET | BPF_K:
	case BPF_JMP | BPF_JSET | BPF_X:
		return f->jt < left && f->jf < left;
	}
	return false;
}

/* Jumps between these three still find what they did. */
static bool umc_is_field(const struct sock_filter *f, u32 left)
{
	return left >= 2 && f[1].code == (BPF_ALU | BPF_RSH | BPF_K) &&
	       f[2].code == (BPF_ALU | BPF_AND | BPF_K);
}

static void umc_prepare_one(struct sock_filter *f, u32 left)
{
	if (f->code != (BPF_LD | BPF_W | BPF_ABS))
		return;
	if (f->k == UMC_MARK_AT)
		f->code = UMC_LD_MARK;
	if (f->k == UMC_HASH_AT)
		f->code = umc_is_field(f, left) ? UMC_LD_FIELD : UMC_LD_HASH;
}

/* Prepares a program for umc_interpret(); false: it can't be interpreted. */
bool umc_may_interpret(struct sock_filter *program, u32 length)
{
	u32 i;

	for (i = 0; i < length; i++)
		if (!umc_may_interpret_one(program + i, length - i - 1))
			return false;
	if (BPF_CLASS(program[length - 1].code) != BPF_RET)
		return false;
	for (i = 0; i < length; i++)
		umc_prepare_one(program + i, length - i - 1);
	return true;
}

/* Is a load of so many bytes inside of the message? */
static inline bool umc_load_at(const struct sk_buff *message, u64 at, u32 size, u32 *end)
{
	if (at + size > message->len)
		return false;
	*end = max_t(u32, *end, at + size);
	return true;
}

static inline u32 umc_alu(u16 code, u32 a, u32 b)
{
	switch (BPF_OP(code)) {
	case BPF_ADD:
		return a + b;
	case BPF_SUB:
		return a - b;
	case BPF_MUL:
		return a * b;
	case BPF_AND:
		return a & b;
	case BPF_OR:
		return a | b;
	case BPF_XOR:
		return a ^ b;
	case BPF_LSH:
		return a << b;
	case BPF_RSH:
		return a >> b;
	}
	return -a;
}

static inline bool umc_jumps(u16 code, u32 a, u32 b)
{
	switch (BPF_OP(code)) {
	case BPF_JEQ:
		return a == b;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	}
	return a & b;
}

/**
 * umc_interpret - run a program that umc_may_interpret()
 * @f:		its first instruction
 * @message:	linear
 * @looked:	grows to the end of what it loads, with UMC_LOOKED_LENGTH if it asks for
 *		the message's length; U32_MAX if it loads what is not there
 *
 * Return: its verdict; UMC_ASK if it loads what is not there
 */
u32 umc_interpret(const struct sock_filter *f, const struct sk_buff *message, u32 *looked)
{
	const u8 *data = message->data;
	u32 a = 0, x = 0, mem[BPF_MEMWORDS] = {};
	u32 end = *looked & ~UMC_LOOKED_LENGTH, length = *looked & UMC_LOOKED_LENGTH;
	u64 at;

	for (;; f++) {
		/* Most are one of these; a switch without jump tables compares some six times. */
		if (f->code == (BPF_JMP | BPF_JEQ | BPF_K)) {
			f += a == f->k ? f->jt : f->jf;
			continue;
		}
		at = f->k + (u64)x;
		if (f->code == (BPF_LD | BPF_W | BPF_IND)) {
			if (!umc_load_at(message, at, 4, &end))
				goto out_of_range;
			a = get_unaligned_be32(data + at);
			continue;
		}
		if (f->code == UMC_LD_FIELD) {
			a = message->hash >> f[1].k & f[2].k;
			f += 2;
			continue;
		}
		if (f->code == (BPF_LDX | BPF_MEM)) {
			x = mem[f->k];
			continue;
		}
		if (f->code == (BPF_JMP | BPF_JGE | BPF_K)) {
			f += a >= f->k ? f->jt : f->jf;
			continue;
		}
		switch (f->code) {
		case UMC_LD_MARK:
			a = message->mark;
			break;
		case UMC_LD_HASH:
			a = message->hash;
			break;
		case BPF_LD | BPF_W | BPF_ABS:
			if (!umc_load_at(message, f->k, 4, &end))
				goto out_of_range;
			a = get_unaligned_be32(data + f->k);
			break;
		case BPF_LD | BPF_H | BPF_ABS:
			at = f->k;
			fallthrough;
		case BPF_LD | BPF_H | BPF_IND:
			if (!umc_load_at(message, at, 2, &end))
				goto out_of_range;
			a = get_unaligned_be16(data + at);
			break;
		case BPF_LD | BPF_B | BPF_ABS:
			at = f->k;
			fallthrough;
		case BPF_LD | BPF_B | BPF_IND:
			if (!umc_load_at(message, at, 1, &end))
				goto out_of_range;
			a = data[at];
			break;
		case BPF_LDX | BPF_B | BPF_MSH:
			if (!umc_load_at(message, f->k, 1, &end))
				goto out_of_range;
			x = (data[f->k] & 0xf) << 2;
			break;
		case BPF_LD | BPF_W | BPF_LEN:
			a = message->len;
			length = UMC_LOOKED_LENGTH;
			break;
		case BPF_LDX | BPF_W | BPF_LEN:
			x = message->len;
			length = UMC_LOOKED_LENGTH;
			break;
		case BPF_LD | BPF_IMM:
			a = f->k;
			break;
		case BPF_LDX | BPF_IMM:
			x = f->k;
			break;
		case BPF_LD | BPF_MEM:
			a = mem[f->k];
			break;
		case BPF_ST:
			mem[f->k] = a;
			break;
		case BPF_STX:
			mem[f->k] = x;
			break;
		case BPF_MISC | BPF_TAX:
			x = a;
			break;
		case BPF_MISC | BPF_TXA:
			a = x;
			break;
		case BPF_RET | BPF_K:
			*looked = end | length;
			return f->k;
		case BPF_RET | BPF_A:
			*looked = end | length;
			return a;
		case BPF_JMP | BPF_JA:
			f += f->k;
			break;
		default:
			if (BPF_CLASS(f->code) == BPF_ALU)
				a = umc_alu(f->code, a, BPF_SRC(f->code) == BPF_X ? x : f->k);
			else
				f += umc_jumps(f->code, a, BPF_SRC(f->code) == BPF_X ? x : f->k) ?
				     f->jt : f->jf;
		}
	}
out_of_range:
	*looked = U32_MAX;
	return UMC_ASK;
}
