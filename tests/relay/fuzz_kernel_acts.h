/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_FUZZ_KERNEL_ACTS_H
#define OMNIBUS_FUZZ_KERNEL_ACTS_H

/* Actions of the kernel, and of the group of unix_multicast(7). */

#include "fake_group.h"
#include "fuzz_control_acts.h"

static bool without_failed_allocations;
static int console_file = -1; /* of the real kernel */

/* The kernel's credentials of the next connection. */
static inline void act_identity(struct input *in)
{
    static const uint32_t uids[] = {1000, 0, 1001, UINT32_MAX};
    static const char *const labels[] = {NULL, "", "label", "a label of some length, with \" in it"};
    uint8_t how = input_byte(in);
    world.user = (struct ucred){.pid = how & 16   ? getpid()
                                       : how & 32 ? 0x7ffffff0
                                                  : 0,
                                .uid = uids[how & 3],
                                .gid = how};
    world.label = labels[how >> 2 & 3];
    world.n_groups = (int)(input_byte(in) % 5) - 1;
    for (int i = 0; i < world.n_groups; i++)
        world.groups[i] = (gid_t)(i == 1 ? 7 : how >> i & 3);
}

static inline void act_failure(struct input *in)
{
    uint8_t call = input_byte(in);
    int error = CHOOSE(word_failures, in);
    /* EAGAIN would lose an edge; the rest of these are errors of one call only */
    if (call % WORLD_CALLS == WORLD_RECEIVE && (error == EAGAIN || error == ETOOMANYREFS))
        world.cut = true;
    else if (error != ETOOMANYREFS || call % WORLD_CALLS == WORLD_SEND_FDS)
        world.failing[call % WORLD_CALLS] = error;
}

/* During the next action. */
static inline void act_allocations(struct input *in)
{
    world.allocations = input_byte(in) % 64;
    world.allocations_fail = !without_failed_allocations;
}

static inline struct file *folder(struct input *in)
{
    struct file *file = &files[input_byte(in) % FILES];
    return file->kind == FILE_FOLDER ? file : files;
}

/* A change of the files, perhaps several times; in the upper bits of what also a question to the follower. */
static inline void act_file(struct input *in)
{
    uint8_t what = input_byte(in);
    struct file *at = folder(in), *made;
    int name = input_byte(in) % FILES_NAMES;
    switch (what % 8) {
    case 0:
        for (uint32_t n = what & 64 ? 1500 : 1; n > 0; n--)
            file_toggle(at, name);
        break;
    case 1:
        if ((made = file_make(at, name, FILE_FOLDER)))
            made->remote |= what & 64;
        break;
    case 2:
        if ((made = file_make(at, name, FILE_LINK)))
            made->target = CHOOSE(word_targets, in);
        break;
    case 3:
        file_remove(at, name);
        break;
    case 4:
        made = folder(in);
        file_move(at, name, made, input_byte(in) % FILES_NAMES);
        break;
    default:
        if (!at->entries[name])
            break;
        at->entries[name]->unreadable ^= what % 8 == 7;
        file_alter(at, name, what % 8 == 7 ? IN_ATTRIB : what % 8 == 6 ? IN_MODIFY : IN_CLOSE_WRITE);
        break;
    }
    if (what & 128)
        catalog_check();
    control_turn();
}

static inline void act_group(struct input *in)
{
    static const unsigned long requests[] = {
        UMC_ADD,      UMC_REMOVE,    UMC_FORGET,      UMC_SET_FILTER,   UMC_SET_MARK,     UMC_SET_STAMP,
        UMC_WRITE,    UMC_GATE,      UMC_PENDING_ADD, UMC_PENDING_TAKE, UMC_PENDING_LIST, UMC_REVOKE,
        UMC_SET_NAME, UMC_SET_CLASS, UMC_SET_ACCEPT,  UMC_WATCH};
    static const int errors[] = {ENOENT, EAGAIN, EBUSY, ENOMEM, EPIPE, EINTR, EBADF, E2BIG};
    uint8_t what = input_byte(in), how = input_byte(in);
    if (!control.relay->bus.group)
        return;
    if (what & 1) {
        fake_fail(CHOOSE(requests, in), errors[how & 7], how >> 3 & 3, 1 + (how >> 5));
        fake_group.entry_error = what & 2 && fake_group.failing == UMC_WRITE ? errors[how & 7] : 0;
        return;
    }
    if ((what & 6) == 6) {
        struct thing *thing = thing_of(fake_group.fd);
        thing->urgent = &fake_group.stopped;
        fake_group.stopped = true;
        control_turn();
        return;
    }
    if (what & 2) {
        const struct umc_pending call = {
            .caller = how & 7, .callee = how >> 3 & 7, .key = 1 + input_byte(in) % 16};
        if (fake_member(call.caller) && fake_member(call.callee))
            fake_pending_add(&call);
        return;
    }
    struct umc_spill *spill = (struct umc_spill *)fake_group.spill;
    uint64_t one = 1;
    *spill = (struct umc_spill){
        .receiver = how & 7, .sender = how >> 3, .length = input_byte(in), .written = what >> 4};
    uint8_t *message = (uint8_t *)(spill + 1);
    memset(message, 'x', 256);
    memcpy(message, "l\4\0\1\0\0\0\0\1\0\0\0\0\0\0\0", MESSAGE_FIXED_SIZE);
    message[4] = (uint8_t)(spill->length - MESSAGE_FIXED_SIZE); /* a frame, if it is that long */
    fake_group.spill_size = sizeof(*spill) + (what & 4 ? 256u : 16u) - (what & 8);
    for (int i = 0; i < CLIENTS; i++)
        clients[i].unchecked = true;
    ASSERT(write(fake_group.fd, &one, sizeof(one)) == sizeof(one));
    control_turn();
}

/* logind's file of a user is a descriptor among those of this process. */
static inline void act_console(struct input *in)
{
    struct span text = input_text(in);
    ASSERT(ftruncate(console_file, 0) == 0);
    ASSERT(pwrite(console_file, text.s, text.n, 0) == (ssize_t)text.n);
    relay_at_console("/proc/self/fd", (uint32_t)console_file);
    struct relay_identity identity;
    world.running = true;
    bool known = relay_identify(text.n % 2 ? door : client_spare, &identity);
    world.running = false;
    ASSERT(!known || text.n % 2);
}

#endif
