/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "hold.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif
#define AREA_SIZE 65536u
#define ARGUMENT_SIZE (6u << 20) /* what the kernel takes */
#define NO_CALL 0xfffffu         /* ENOSYS */
#define BIT(signal_number) (1ull << ((signal_number)-1))
/* Those that omnibusd releases when it is ready for them: SIGNALS of daemon/daemonize.py. */
#define LATER (BIT(SIGTERM) | BIT(SIGINT) | BIT(SIGHUP) | BIT(SIGUSR2))

/* The next stop that is not about a signal: all are blocked but SIGKILL and SIGSTOP. */
static enum tracer_stop hold_stop(struct hold *h)
{
    enum tracer_stop stop;
    do {
        stop = tracer_next(h->tracer, true);
    } while (stop == TRACER_OTHER);
    h->gone |= stop == TRACER_GONE || stop == TRACER_EXEC;
    return stop;
}

int64_t hold_call(struct hold *h, uint64_t number, const uint64_t args[6])
{
    struct arch_regs regs = h->saved;
    if (++h->n_calls == h->fault)
        number = NO_CALL;
    arch_set_call(&regs, h->instruction, number, args);
    if (h->gone || !tracer_set_regs(h->tracer, &regs))
        return -ESRCH;
    tracer_go(h->tracer);
    if (hold_stop(h) != TRACER_ENTRY || h->tracer->call.number != number)
        return -EIO;
    tracer_go(h->tracer);
    switch (hold_stop(h)) {
    case TRACER_EXIT:
        return h->tracer->call.result;
    case TRACER_EXEC:
        return 0;
    default:
        return -ESRCH;
    }
}

static int hold_map(struct hold *h, size_t size)
{
    const uint64_t args[6] = {0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, UINT64_MAX, 0};
    int64_t at = hold_call(h, SYS_mmap, args);
    if (at < 0 && at > -4096)
        return (int)at;
    h->area = (uint64_t)at;
    h->area_size = size;
    return 0;
}

static void hold_unmap(struct hold *h)
{
    const uint64_t args[6] = {h->area, h->area_size};
    if (h->area != 0)
        hold_call(h, SYS_munmap, args);
    h->area = 0;
}

void hold_end(struct hold *h)
{
    struct arch_regs regs = h->saved;
    for (size_t i = 0; i < h->n_kept; i++) {
        const uint64_t args[6] = {(uint64_t)h->kept[i], F_SETFD, FD_CLOEXEC};
        hold_call(h, SYS_fcntl, args);
    }
    h->n_kept = 0;
    if (h->memfd >= 0) {
        const uint64_t args[6] = {(uint64_t)h->memfd};
        hold_call(h, SYS_close, args);
    }
    h->memfd = -1;
    hold_unmap(h);
    if (h->gone)
        return;
    arch_set_call(&regs, h->instruction, h->call.number, h->call.args);
    tracer_set_regs(h->tracer, &regs);
    tracer_set_blocked(h->tracer, h->blocked);
    tracer_go(h->tracer);
}

/* Before anything was changed. */
static int hold_look(struct hold *h)
{
    char instruction[ARCH_INSTRUCTION_SIZE];
    if (!tracer_get_blocked(h->tracer, &h->blocked) || !tracer_get_regs(h->tracer, &h->saved))
        return -EIO;
    h->instruction = arch_pc(&h->saved) - ARCH_INSTRUCTION_SIZE;
    if (!tracer_read(h->tracer, h->instruction, instruction, sizeof(instruction)) ||
        memcmp(instruction, ARCH_INSTRUCTION, sizeof(instruction)) != 0)
        return -ENOEXEC;
    return 0;
}

int hold_begin(struct hold *h, struct tracer *tracer, unsigned fault)
{
    *h = (struct hold){.tracer = tracer, .call = tracer->call, .memfd = -1, .fault = fault};
    int error = hold_look(h);
    if (error == 0 && (!tracer_set_blocked(tracer, UINT64_MAX) || !tracer_skip(tracer)))
        error = -EIO;
    if (error < 0) {
        tracer_set_blocked(tracer, h->blocked);
        tracer_go(tracer);
        return error;
    }
    tracer_go(tracer);
    error = hold_stop(h) == TRACER_EXIT ? hold_map(h, AREA_SIZE) : -EIO;
    if (error < 0)
        hold_end(h);
    return error;
}

void hold_free(struct hold *h)
{
    free(h->kept);
    h->kept = NULL;
}

int hold_memfd(struct hold *h, const char *name, int *fd)
{
    char path[64];
    if (!tracer_write(h->tracer, h->area, name, strlen(name) + 1))
        return -EFAULT;
    const uint64_t strict[6] = {h->area, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL};
    const uint64_t plain[6] = {h->area, MFD_CLOEXEC | MFD_ALLOW_SEALING};
    int64_t made = hold_call(h, SYS_memfd_create, strict);
    if (made == -EINVAL) /* before Linux 6.3 */
        made = hold_call(h, SYS_memfd_create, plain);
    if (made < 0)
        return (int)made;
    h->memfd = (int)made;
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", h->tracer->pid, h->memfd);
    *fd = open(path, O_RDWR | O_CLOEXEC);
    return *fd < 0 ? -errno : 0;
}

int hold_keep(struct hold *h, int fd)
{
    if (h->n_kept == h->kept_room) {
        size_t room = 2 * h->kept_room + 64;
        int *kept = realloc(h->kept, room * sizeof(*kept));
        if (!kept)
            return -ENOMEM;
        h->kept = kept;
        h->kept_room = room;
    }
    const uint64_t args[6] = {(uint64_t)fd, F_SETFD, 0};
    int64_t result = hold_call(h, SYS_fcntl, args);
    if (result < 0)
        return (int)result;
    h->kept[h->n_kept++] = fd;
    return 0;
}

/* The texts and the two arrays of pointers to them, as they are to lie at an address. */
struct image {
    uint8_t *bytes;
    size_t size; /* of the texts */
    size_t n;
    uint64_t at;
};

static size_t image_size(const char *const *texts, size_t *n)
{
    size_t size = 0;
    for (; *texts; texts++, (*n)++)
        size += strlen(*texts) + 1;
    return size;
}

/* Puts texts, and pointers to them behind all of them. */
static void image_put(struct image *image, const char *const *texts, uint64_t *pointers)
{
    for (; *texts; texts++) {
        size_t n = strlen(*texts) + 1;
        *pointers++ = image->at + image->size;
        memcpy(image->bytes + image->size, *texts, n);
        image->size += n;
    }
    *pointers = 0;
}

int hold_execute(struct hold *h, const char *const *argv, const char *const *environment)
{
    size_t n_argv = 0, n_environment = 0;
    size_t texts = image_size(argv, &n_argv) + image_size(environment, &n_environment);
    if (texts > ARGUMENT_SIZE || n_argv > ARGUMENT_SIZE || n_environment > ARGUMENT_SIZE)
        return -E2BIG;
    size_t arrays = (texts + 7) & ~(size_t)7;
    size_t size = arrays + (n_argv + n_environment + 2) * sizeof(uint64_t);
    hold_unmap(h);
    int error = hold_map(h, size);
    if (error < 0)
        return error;
    struct image image = {.bytes = calloc(1, size), .at = h->area};
    uint64_t *pointers = calloc(n_argv + n_environment + 2, sizeof(*pointers));
    error = -ENOMEM;
    if (image.bytes && pointers) {
        image_put(&image, argv, pointers);
        image_put(&image, environment, pointers + n_argv + 1);
        memcpy(image.bytes + arrays, pointers, size - arrays);
        error = tracer_write(h->tracer, h->area, image.bytes, size) ? 0 : -EFAULT;
    }
    const uint64_t args[6] = {h->area, h->area + arrays, h->area + arrays + (n_argv + 1) * sizeof(uint64_t)};
    if (error == 0 && !tracer_set_blocked(h->tracer, h->blocked | LATER))
        error = -EIO;
    if (error == 0)
        error = (int)hold_call(h, SYS_execve, args);
    free(image.bytes);
    free(pointers);
    return error;
}
