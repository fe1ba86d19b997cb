/* SPDX-License-Identifier: MIT */
#include "frame.h"

#include "wire/wire.h"

/* Of one field besides its text: alignment, code, signature, length, NUL. */
#define FIELD_ROOM 24u

enum { N_FIELDS = 8 };

const char *frame_error(int result)
{
    return message_error_text((enum message_error) - result);
}

static void frame_fill(struct frame *frame, const struct message *m)
{
    *frame = (struct frame){
        .data = m->data,
        .path = m->path.s,
        .path_size = m->path.n,
        .interface = m->interface.s,
        .interface_size = m->interface.n,
        .member = m->member.s,
        .member_size = m->member.n,
        .error_name = m->error_name.s,
        .error_name_size = m->error_name.n,
        .sender = m->sender.s,
        .sender_size = m->sender.n,
        .destination = m->destination.s,
        .destination_size = m->destination.n,
        .signature = m->signature.s,
        .signature_size = m->signature.n,
        .size = m->size,
        .body_offset = m->body_offset,
        .serial = m->serial,
        .reply_serial = m->reply_serial,
        .n_fds = m->n_fds,
        .type = m->type,
        .flags = m->flags,
        .big_endian = m->big_endian,
    };
}

int frame_read(struct frame *frame, const uint8_t *data, size_t available, uint32_t max)
{
    struct message m;
    uint32_t size = 0;
    frame->size = 0;
    enum message_error error = message_frame(data, available, MESSAGE_MAX_SIZE, &size);
    if (error)
        return error == MESSAGE_INCOMPLETE ? FRAME_INCOMPLETE : -(int)error;
    const bool too_long = size > max;
    frame->size = size;
    if (too_long) {
        error = message_parse_header(&m, data, available);
        if (error == MESSAGE_INCOMPLETE)
            return available < max ? FRAME_INCOMPLETE : -(int)MESSAGE_TOO_LONG;
    } else {
        if (available < size)
            return FRAME_INCOMPLETE;
        error = message_parse(&m, data, size);
    }
    if (error)
        return -(int)error;
    frame_fill(frame, &m);
    return too_long ? FRAME_TOO_LONG : FRAME_WHOLE;
}

size_t frame_room(const struct frame *frame, size_t destination_size, size_t sender_size)
{
    const size_t texts = (size_t)frame->path_size + frame->interface_size + frame->member_size +
                         frame->error_name_size + frame->signature_size + destination_size + sender_size;
    return MESSAGE_FIXED_SIZE + texts + N_FIELDS * FIELD_ROOM + (frame->size - frame->body_offset);
}

/* The writer of a header; at is below frame_room. */
struct frame_writer {
    uint8_t *out;
    uint32_t at;
    bool swap;
};

static void frame_pad(struct frame_writer *w, uint32_t alignment)
{
    const uint32_t next = wire_align(w->at, alignment);
    memset(w->out + w->at, 0, next - w->at);
    w->at = next;
}

static void frame_put32(struct frame_writer *w, uint32_t value)
{
    wire_store32(w->out + w->at, value, w->swap);
    w->at += 4;
}

static void frame_begin_field(struct frame_writer *w, uint8_t field, char type)
{
    frame_pad(w, 8);
    const uint8_t head[] = {field, 1, (uint8_t)type, 0};
    memcpy(w->out + w->at, head, sizeof(head));
    w->at += sizeof(head);
}

static void frame_put_text(struct frame_writer *w, uint8_t field, char type, const char *text, size_t size)
{
    if (!text)
        return;
    frame_begin_field(w, field, type);
    if (type == 'g')
        w->out[w->at++] = (uint8_t)size;
    else
        frame_put32(w, (uint32_t)size);
    memcpy(w->out + w->at, text, size);
    w->at += (uint32_t)size;
    w->out[w->at++] = 0;
}

size_t frame_forward(const struct frame *frame, uint32_t serial, uint32_t reply_serial,
                     const char *destination, size_t destination_size, const char *sender, size_t sender_size,
                     uint8_t *out)
{
    const uint32_t body_size = frame->size - frame->body_offset;
    if (destination_size > MESSAGE_MAX_NAME || sender_size > MESSAGE_MAX_NAME ||
        frame_room(frame, destination_size, sender_size) > MESSAGE_MAX_SIZE)
        return 0;
    struct frame_writer w = {out, MESSAGE_FIXED_SIZE, frame->big_endian != WIRE_HOST_BIG_ENDIAN};
    memcpy(out, frame->data, 4); /* byte order, type, flags, version */
    wire_store32(out + 4, body_size, w.swap);
    wire_store32(out + 8, serial, w.swap);
    frame_put_text(&w, FIELD_PATH, 'o', frame->path, frame->path_size);
    frame_put_text(&w, FIELD_INTERFACE, 's', frame->interface, frame->interface_size);
    frame_put_text(&w, FIELD_MEMBER, 's', frame->member, frame->member_size);
    frame_put_text(&w, FIELD_ERROR_NAME, 's', frame->error_name, frame->error_name_size);
    if (reply_serial) {
        frame_begin_field(&w, FIELD_REPLY_SERIAL, 'u');
        frame_put32(&w, reply_serial);
    }
    frame_put_text(&w, FIELD_DESTINATION, 's', destination, destination_size);
    frame_put_text(&w, FIELD_SENDER, 's', sender, sender_size);
    frame_put_text(&w, FIELD_SIGNATURE, 'g', frame->signature, frame->signature_size);
    wire_store32(out + 12, w.at - MESSAGE_FIXED_SIZE, w.swap);
    frame_pad(&w, 8);
    memcpy(out + w.at, frame->data + frame->body_offset, body_size);
    return (size_t)w.at + body_size;
}
