/* SPDX-License-Identifier: MIT */
#include "resume/state_write.h"

#include <errno.h>
#include <unistd.h>

static void store(uint8_t *to, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

static void state_fail(struct state_writer *w, int error)
{
    if (w->error == 0)
        w->error = error;
}

/* Writes all of it at a place of the file. */
static void state_write_at(struct state_writer *w, const uint8_t *bytes, size_t size, uint64_t at)
{
    while (size > 0 && w->error == 0) {
        ssize_t n = pwrite(w->fd, bytes, size, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            state_fail(w, n < 0 ? -errno : -EIO);
            return;
        }
        bytes += n;
        size -= (size_t)n;
        at += (size_t)n;
    }
}

static void state_sum(struct state_writer *w)
{
    w->sum = crc32_add(&w->crc, w->sum, w->buffer + w->summed, w->used - w->summed);
    w->summed = w->used;
}

static void state_flush(struct state_writer *w)
{
    state_sum(w);
    state_write_at(w, w->buffer, w->used, w->at);
    w->at += w->used;
    w->used = w->summed = 0;
}

void state_put(struct state_writer *w, const void *bytes, size_t size)
{
    const uint8_t *from = bytes;
    while (size > 0 && w->error == 0) {
        if (w->used == STATE_BUFFER)
            state_flush(w);
        size_t n = size < STATE_BUFFER - w->used ? size : STATE_BUFFER - w->used;
        memcpy(w->buffer + w->used, from, n);
        w->used += n;
        from += n;
        size -= n;
    }
}

static void state_put_number(struct state_writer *w, uint64_t value, unsigned size)
{
    uint8_t bytes[sizeof(value)];
    store(bytes, value, size);
    state_put(w, bytes, size);
}

void state_put8(struct state_writer *w, uint8_t value)
{
    state_put_number(w, value, sizeof(value));
}

void state_put16(struct state_writer *w, uint16_t value)
{
    state_put_number(w, value, sizeof(value));
}

void state_put32(struct state_writer *w, uint32_t value)
{
    state_put_number(w, value, sizeof(value));
}

void state_put64(struct state_writer *w, uint64_t value)
{
    state_put_number(w, value, sizeof(value));
}

void state_put_bytes(struct state_writer *w, const void *bytes, size_t size)
{
    if (size >= STATE_NONE) {
        state_fail(w, -EFBIG);
        return;
    }
    state_put32(w, (uint32_t)size);
    state_put(w, bytes, size);
}

void state_write_begin(struct state_writer *w, int fd)
{
    static const uint8_t header[STATE_HEADER];
    crc32_begin(&w->crc);
    w->fd = fd;
    w->error = ftruncate(fd, 0) < 0 ? -errno : 0;
    w->at = w->used = w->summed = 0;
    w->n_sections = 0;
    state_put(w, header, sizeof(header));
}

void state_section_begin(struct state_writer *w, uint16_t type, uint16_t version, bool critical)
{
    memset(w->head, 0, sizeof(w->head));
    store(w->head, type, 2);
    store(w->head + 2, version, 2);
    store(w->head + 4, critical ? STATE_CRITICAL : 0, 2);
    w->section = w->at + w->used;
    w->n_sections++;
    state_put(w, w->head, sizeof(w->head));
    w->summed = w->used;
    w->sum = 0;
}

void state_section_end(struct state_writer *w)
{
    state_sum(w);
    store(w->head + 8, w->at + w->used - w->section - STATE_SECTION_HEADER, 8);
    store(w->head + STATE_SUMMED, crc32_add(&w->crc, w->sum, w->head, STATE_SUMMED), 4);
    if (w->section < w->at) {
        state_flush(w);
        state_write_at(w, w->head, sizeof(w->head), w->section);
    } else {
        memcpy(w->buffer + (w->section - w->at), w->head, sizeof(w->head));
    }
}

void state_append(struct state_writer *w, const uint8_t *sections, size_t size, uint32_t n)
{
    state_put(w, sections, size);
    w->n_sections += n;
}

int state_write_end(struct state_writer *w, uint64_t *size)
{
    uint8_t header[STATE_HEADER] = STATE_MAGIC;
    store(header + 8, STATE_FORMAT, 4);
    store(header + 12, w->n_sections, 4);
    state_flush(w);
    state_write_at(w, header, sizeof(header), 0);
    *size = w->at;
    return w->error;
}
