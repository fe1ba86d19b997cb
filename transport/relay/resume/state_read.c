/* SPDX-License-Identifier: MIT */
#include "resume/state_read.h"

#include "base/crc32.h"

#include <errno.h>
#include <stdio.h>

static uint64_t load(const uint8_t *at, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

/* One section, as its header describes it. */
struct found {
    uint16_t type, version, flags;
    const uint8_t *content;
    size_t size;
};

/* Takes the first section off the bytes. False: they do not begin with a whole one. */
static bool section_next(const uint8_t **at, const uint8_t *end, const struct crc32 *crc, struct found *found)
{
    if ((size_t)(end - *at) < STATE_SECTION_HEADER)
        return false;
    const uint8_t *head = *at;
    uint64_t size = load(head + 8, 8);
    if (size > (size_t)(end - head) - STATE_SECTION_HEADER || load(head + 6, 2) != 0)
        return false;
    found->type = (uint16_t)load(head, 2);
    found->version = (uint16_t)load(head + 2, 2);
    found->flags = (uint16_t)load(head + 4, 2);
    found->content = head + STATE_SECTION_HEADER;
    found->size = (size_t)size;
    *at = found->content + found->size;
    if (!crc)
        return true;
    uint32_t sum = crc32_add(crc, 0, found->content, found->size);
    return crc32_add(crc, sum, head, STATE_SUMMED) == load(head + STATE_SUMMED, 4);
}

static int refuse_state(char *why, size_t size, const char *what, uint32_t number)
{
    snprintf(why, size, "%s (%u)", what, number);
    return -EINVAL;
}

/* Notes where a section is. */
static int section_place(struct state_view *view, const struct found *found, char *why, size_t why_size)
{
    bool known = found->type > 0 && found->type < RELAY_STATE_END;
    if (!known && found->flags & STATE_CRITICAL)
        return refuse_state(why, why_size, "the state has a section that this version cannot read",
                            found->type);
    if (!known) {
        view->n_skipped++;
        return 0;
    }
    struct state_place *place = &view->places[found->type];
    if (place->content)
        return refuse_state(why, why_size, "the state has a section twice", found->type);
    *place = (struct state_place){found->content, found->size, found->version};
    return 0;
}

int state_open(struct state_view *view, const uint8_t *bytes, size_t size, bool check, char *why,
               size_t why_size)
{
    struct crc32 crc;
    *view = (struct state_view){.bytes = bytes, .size = size};
    if (size < STATE_HEADER || memcmp(bytes, STATE_MAGIC, sizeof(STATE_MAGIC) - 1) != 0)
        return refuse_state(why, why_size, "this is no state", (uint32_t)size);
    if (load(bytes + 8, 4) != STATE_FORMAT)
        return refuse_state(why, why_size, "the state has another format", (uint32_t)load(bytes + 8, 4));
    if (check)
        crc32_begin(&crc);
    const uint8_t *at = bytes + STATE_HEADER, *end = bytes + size;
    uint32_t n = (uint32_t)load(bytes + 12, 4);
    for (uint32_t i = 0; i < n; i++) {
        struct found found;
        if (!section_next(&at, end, check ? &crc : NULL, &found))
            return refuse_state(why, why_size, "a section of the state is damaged", i);
        int error = section_place(view, &found, why, why_size);
        if (error < 0)
            return error;
    }
    return at == end ? 0 : refuse_state(why, why_size, "the state has more than its sections", n);
}

int64_t state_check_sections(const uint8_t *sections, size_t size)
{
    struct crc32 crc;
    struct found found;
    const uint8_t *at = sections, *end = sections + size;
    int64_t n = 0;
    crc32_begin(&crc);
    for (; at < end; n++) {
        if (!section_next(&at, end, &crc, &found))
            return -EINVAL;
    }
    return n;
}

struct state_reader state_section(const struct state_view *view, uint32_t type)
{
    const struct state_place *place = &view->places[type];
    if (!place->content)
        return (struct state_reader){.failed = true};
    return (struct state_reader){.at = place->content, .end = place->content + place->size};
}

const uint8_t *state_get(struct state_reader *r, size_t size)
{
    const uint8_t *at = r->at;
    if (r->failed || size > (size_t)(r->end - at)) {
        r->failed = true;
        return NULL;
    }
    r->at += size;
    return at;
}

static uint64_t state_get_number(struct state_reader *r, unsigned size)
{
    const uint8_t *at = state_get(r, size);
    return at ? load(at, size) : 0;
}

uint8_t state_get8(struct state_reader *r)
{
    return (uint8_t)state_get_number(r, 1);
}

uint16_t state_get16(struct state_reader *r)
{
    return (uint16_t)state_get_number(r, 2);
}

uint32_t state_get32(struct state_reader *r)
{
    return (uint32_t)state_get_number(r, 4);
}

uint64_t state_get64(struct state_reader *r)
{
    return state_get_number(r, 8);
}

struct span state_get_bytes(struct state_reader *r)
{
    uint32_t n = state_get32(r);
    const uint8_t *at = state_get(r, n);
    return (struct span){(const char *)at, at ? n : 0};
}

uint32_t state_count(struct state_reader *r, size_t least)
{
    uint32_t n = state_get32(r);
    if (n > (size_t)(r->end - r->at) / least)
        r->failed = true;
    return r->failed ? 0 : n;
}

uint32_t state_get_flags(struct state_reader *r, uint32_t end)
{
    uint32_t flags = state_get32(r);
    if (flags >= end)
        r->failed = true;
    return r->failed ? 0 : flags;
}
