/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_MARKS_H
#define BUSBENCH_MARKS_H

/*
 * Where the measured part begins and ends, for who counts instructions from outside of a guest
 * (../plugin/counter.c). Each is an instruction that does nothing, and that no compiler makes.
 */
#ifdef __x86_64__
static inline void mark_begin(void)
{
    __asm__ volatile("movl $0x5eed5e01, %%eax" ::: "eax", "memory");
}

static inline void mark_end(void)
{
    __asm__ volatile("movl $0x5eed5e02, %%eax" ::: "eax", "memory");
}
#else
static inline void mark_begin(void)
{
}

static inline void mark_end(void)
{
}
#endif

#endif
