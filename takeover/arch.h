/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TAKEOVER_ARCH_H
#define OMNIBUS_TAKEOVER_ARCH_H

#include <elf.h>
#include <linux/audit.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/user.h>

/* All that depends on the architecture: the registers of a system call, and its instruction. */

struct arch_regs {
    struct user_regs_struct regs;
};

#if defined(__x86_64__)

#define ARCH_AUDIT AUDIT_ARCH_X86_64
#define ARCH_INSTRUCTION "\x0f\x05" /* syscall */
#define ARCH_INSTRUCTION_SIZE 2u

static inline uint64_t arch_pc(const struct arch_regs *r)
{
    return r->regs.rip;
}

static inline uint64_t arch_sp(const struct arch_regs *r)
{
    return r->regs.rsp;
}

/* Registers of a process that is about to execute the instruction at pc. */
static inline void arch_set_call(struct arch_regs *r, uint64_t pc, uint64_t number, const uint64_t args[6])
{
    r->regs.rip = pc;
    r->regs.rax = number;
    r->regs.orig_rax = UINT64_MAX; /* nothing is restarted */
    r->regs.rdi = args[0];
    r->regs.rsi = args[1];
    r->regs.rdx = args[2];
    r->regs.r10 = args[3];
    r->regs.r8 = args[4];
    r->regs.r9 = args[5];
}

static inline void arch_set_result(struct arch_regs *r, int64_t result)
{
    r->regs.rax = (uint64_t)result;
}

/* At the entry of a call: it is not made. True: the registers have to be written. */
static inline bool arch_skip(struct arch_regs *r)
{
    r->regs.orig_rax = UINT64_MAX;
    return true;
}

#elif defined(__aarch64__)

#define ARCH_AUDIT AUDIT_ARCH_AARCH64
#define ARCH_INSTRUCTION "\x01\x00\x00\xd4" /* svc #0 */
#define ARCH_INSTRUCTION_SIZE 4u
#ifndef NT_ARM_SYSTEM_CALL
#define NT_ARM_SYSTEM_CALL 0x404
#endif
#define ARCH_CALL_REGSET NT_ARM_SYSTEM_CALL /* the number of a call can't be changed in a register */

static inline uint64_t arch_pc(const struct arch_regs *r)
{
    return r->regs.pc;
}

static inline uint64_t arch_sp(const struct arch_regs *r)
{
    return r->regs.sp;
}

static inline void arch_set_call(struct arch_regs *r, uint64_t pc, uint64_t number, const uint64_t args[6])
{
    r->regs.pc = pc;
    r->regs.regs[8] = number;
    for (int i = 0; i < 6; i++)
        r->regs.regs[i] = args[i];
}

static inline void arch_set_result(struct arch_regs *r, int64_t result)
{
    r->regs.regs[0] = (uint64_t)result;
}

static inline bool arch_skip(struct arch_regs *r)
{
    (void)r;
    return false;
}

#else
#error "omnibus-takeover knows x86-64 and aarch64"
#endif

#endif
