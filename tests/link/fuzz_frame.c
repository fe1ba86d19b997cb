/* SPDX-License-Identifier: MIT */

/*
 * For all bytes and limits: reading stays within them, and what is forwarded is the same message with another
 * serial, reply serial, destination and sender.
 */

#include "../../link/wire/frame.h"
#include "wire/message.h"

#include <stdlib.h>
#include <string.h>

#define ASSERT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            __builtin_trap();                                                                                \
    } while (0)

#define SERIAL 0x01020304u
#define REPLY_SERIAL 0x05060708u
#define DESTINATION ":1.42"
#define SENDER "org.example.Sender"

static bool same(const char *a, uint32_t a_size, const char *b, uint32_t b_size)
{
    return a_size == b_size && !a == !b && (!a || memcmp(a, b, a_size) == 0);
}

static void assert_same(const struct frame *a, const struct frame *b)
{
    ASSERT(a->type == b->type && a->flags == b->flags && a->big_endian == b->big_endian);
    ASSERT(same(a->path, a->path_size, b->path, b->path_size));
    ASSERT(same(a->interface, a->interface_size, b->interface, b->interface_size));
    ASSERT(same(a->member, a->member_size, b->member, b->member_size));
    ASSERT(same(a->error_name, a->error_name_size, b->error_name, b->error_name_size));
    ASSERT(same(a->signature, a->signature_size, b->signature, b->signature_size));
    ASSERT(a->size - a->body_offset == b->size - b->body_offset);
    ASSERT(memcmp(a->data + a->body_offset, b->data + b->body_offset, a->size - a->body_offset) == 0);
    ASSERT(b->n_fds == 0 && b->serial == SERIAL);
}

static void try_forward(const struct frame *frame, uint32_t reply_serial, const char *destination,
                        const char *sender)
{
    const size_t destination_size = destination ? strlen(destination) : 0;
    const size_t sender_size = sender ? strlen(sender) : 0;
    const size_t room = frame_room(frame, destination_size, sender_size);
    uint8_t *out = malloc(room);
    ASSERT(out);
    const size_t size =
        frame_forward(frame, SERIAL, reply_serial, destination, destination_size, sender, sender_size, out);
    ASSERT(size > 0 && size <= room);
    struct frame again;
    ASSERT(frame_read(&again, out, size, MESSAGE_MAX_SIZE) == FRAME_WHOLE && again.size == size);
    assert_same(frame, &again);
    ASSERT(again.reply_serial == reply_serial);
    ASSERT(same(again.destination, again.destination_size, destination, (uint32_t)destination_size));
    ASSERT(same(again.sender, again.sender_size, sender, (uint32_t)sender_size));
    free(out);
}

static void try_limits(const uint8_t *data, size_t size, const struct frame *whole)
{
    struct frame frame;
    /* Each limit below the size leaves out the body only; the header is the same. */
    const int result = frame_read(&frame, data, size, whole->size - 1);
    ASSERT(result == FRAME_TOO_LONG && frame.size == whole->size && frame.serial == whole->serial);
    ASSERT(same(frame.sender, frame.sender_size, whole->sender, whole->sender_size));
    /* No proper part is a whole message. */
    ASSERT(frame_read(&frame, data, whole->size - 1, MESSAGE_MAX_SIZE) == FRAME_INCOMPLETE);
    ASSERT(frame.size == (whole->size > MESSAGE_FIXED_SIZE ? whole->size : 0));
}

static uint8_t *copy_of(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size);
    ASSERT(copy);
    memcpy(copy, data, size);
    return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame frame;
    if (size == 0)
        return 0;
    /* A header alone, whatever the body would be. */
    const int head = frame_read(&frame, data, size, 1);
    ASSERT(head != FRAME_WHOLE);
    const int result = frame_read(&frame, data, size, MESSAGE_MAX_SIZE);
    if (result < 0)
        ASSERT(frame_error(result)[0]);
    if (result != FRAME_WHOLE)
        return 0;
    /* At the very end of an allocation, so that each byte too far is found. */
    const size_t whole_size = frame.size;
    uint8_t *copy = copy_of(data, whole_size);
    ASSERT(frame_read(&frame, copy, whole_size, MESSAGE_MAX_SIZE) == FRAME_WHOLE);
    const bool is_reply = frame.type == MESSAGE_METHOD_RETURN || frame.type == MESSAGE_ERROR;
    try_forward(&frame, is_reply ? REPLY_SERIAL : 0, DESTINATION, NULL);
    try_forward(&frame, is_reply ? REPLY_SERIAL : 0, DESTINATION, SENDER);
    try_forward(&frame, REPLY_SERIAL, NULL, NULL);
    try_limits(copy, whole_size, &frame);
    free(copy);
    return 0;
}
