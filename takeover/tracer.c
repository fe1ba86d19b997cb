/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* process_vm_readv */
#endif
#include "tracer.h"

#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRACER_OPTIONS (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC)
#ifndef PTRACE_GETSIGMASK
#define PTRACE_GETSIGMASK 0x420a
#define PTRACE_SETSIGMASK 0x420b
#endif

static long tracer_request(const struct tracer *t, int request, uintptr_t address, const void *data)
{
    long result = ptrace((enum __ptrace_request)request, t->pid, (void *)address, data);
    return result < 0 ? -errno : result;
}

int tracer_attach(struct tracer *t, pid_t pid)
{
    *t = (struct tracer){.pid = pid};
    long error = tracer_request(t, PTRACE_SEIZE, 0, (const void *)(uintptr_t)TRACER_OPTIONS);
    if (error == 0) {
        tracer_interrupt(t);
        return 0;
    }
    t->pid = 0;
    return (int)error;
}

void tracer_detach(struct tracer *t)
{
    if (t->pid != 0)
        tracer_request(t, PTRACE_DETACH, 0, NULL);
    t->pid = 0;
}

void tracer_go(const struct tracer *t)
{
    tracer_request(t, PTRACE_SYSCALL, 0, NULL);
}

void tracer_interrupt(const struct tracer *t)
{
    tracer_request(t, PTRACE_INTERRUPT, 0, NULL);
}

/* Asks what the stop at a system call is about. */
static enum tracer_stop tracer_call_stop(struct tracer *t)
{
    struct __ptrace_syscall_info info;
    long n = tracer_request(t, PTRACE_GET_SYSCALL_INFO, sizeof(info), &info);
    bool whole = n >= (long)offsetof(struct __ptrace_syscall_info, entry) && info.arch == ARCH_AUDIT;
    t->n_stops++;
    if (whole && info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        t->call.number = info.entry.nr;
        memcpy(t->call.args, info.entry.args, sizeof(t->call.args));
        t->entered = true;
        return TRACER_ENTRY;
    }
    if (whole && info.op == PTRACE_SYSCALL_INFO_EXIT && t->entered) {
        t->call.result = info.exit.rval;
        t->entered = false;
        return TRACER_EXIT;
    }
    tracer_go(t); /* the exit of a call whose entry was not seen */
    return TRACER_OTHER;
}

/* A signal is passed on; a stop of job control lasts until SIGCONT. */
static enum tracer_stop tracer_signal_stop(struct tracer *t, int status)
{
    int number = WSTOPSIG(status), event = status >> 16;
    if (event == PTRACE_EVENT_STOP && number != SIGTRAP)
        tracer_request(t, PTRACE_LISTEN, 0, NULL);
    else if (event != 0)
        tracer_go(t);
    else
        tracer_request(t, PTRACE_SYSCALL, 0, (const void *)(uintptr_t)number);
    t->reloading |= event == 0 && number == SIGHUP;
    return TRACER_OTHER;
}

enum tracer_stop tracer_next(struct tracer *t, bool wait)
{
    int status;
    pid_t pid;
    do {
        pid = waitpid(t->pid, &status, wait ? __WALL : __WALL | WNOHANG);
    } while (pid < 0 && errno == EINTR);
    if (pid == 0)
        return TRACER_RUNNING;
    if (pid < 0 || WIFEXITED(status) || WIFSIGNALED(status)) {
        t->pid = 0;
        return TRACER_GONE;
    }
    if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8))
        return TRACER_EXEC;
    return WSTOPSIG(status) == (SIGTRAP | 0x80) ? tracer_call_stop(t) : tracer_signal_stop(t, status);
}

bool tracer_get_regs(const struct tracer *t, struct arch_regs *regs)
{
    struct iovec part = {&regs->regs, sizeof(regs->regs)};
    return tracer_request(t, PTRACE_GETREGSET, NT_PRSTATUS, &part) == 0 && part.iov_len == sizeof(regs->regs);
}

bool tracer_set_regs(const struct tracer *t, const struct arch_regs *regs)
{
    struct arch_regs copy = *regs;
    struct iovec part = {&copy.regs, sizeof(copy.regs)};
    return tracer_request(t, PTRACE_SETREGSET, NT_PRSTATUS, &part) == 0;
}

bool tracer_skip(const struct tracer *t)
{
#ifdef ARCH_CALL_REGSET
    int none = -1;
    struct iovec part = {&none, sizeof(none)};
    return tracer_request(t, PTRACE_SETREGSET, ARCH_CALL_REGSET, &part) == 0;
#else
    struct arch_regs regs;
    return tracer_get_regs(t, &regs) && arch_skip(&regs) && tracer_set_regs(t, &regs);
#endif
}

bool tracer_set_result(const struct tracer *t, int64_t result)
{
    struct arch_regs regs;
    if (!tracer_get_regs(t, &regs))
        return false;
    arch_set_result(&regs, result);
    return tracer_set_regs(t, &regs);
}

bool tracer_get_blocked(const struct tracer *t, uint64_t *mask)
{
    return tracer_request(t, PTRACE_GETSIGMASK, sizeof(*mask), mask) == 0;
}

bool tracer_set_blocked(const struct tracer *t, uint64_t mask)
{
    return tracer_request(t, PTRACE_SETSIGMASK, sizeof(mask), &mask) == 0;
}

bool tracer_read(const struct tracer *t, uint64_t at, void *bytes, size_t n)
{
    struct iovec here = {bytes, n}, there = {(void *)(uintptr_t)at, n};
    return n == 0 || process_vm_readv(t->pid, &here, 1, &there, 1, 0) == (ssize_t)n;
}

bool tracer_write(const struct tracer *t, uint64_t at, const void *bytes, size_t n)
{
    struct iovec here = {(void *)(uintptr_t)bytes, n}, there = {(void *)(uintptr_t)at, n};
    return n == 0 || process_vm_writev(t->pid, &here, 1, &there, 1, 0) == (ssize_t)n;
}
