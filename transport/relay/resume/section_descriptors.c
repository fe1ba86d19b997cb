/* SPDX-License-Identifier: MIT */
#include "resume/resume_internal.h"

#include <stdlib.h>
#include <sys/stat.h>

/* Descriptors, the sets of them that messages carry, and doors. */

bool descriptor_identity(int fd, uint64_t *device, uint64_t *inode)
{
    struct stat found;
    if (fstat(fd, &found) < 0)
        return false;
    *device = found.st_dev;
    *inode = found.st_ino;
    return true;
}

void dump_descriptor(struct dump *d, int fd)
{
    if (d->n_fds == d->room) {
        uint32_t room = d->room ? 2 * d->room : 256;
        int *fds = room > d->room ? realloc(d->fds, room * sizeof(*fds)) : NULL;
        if (!fds) {
            dump_fail(d, -ENOMEM);
            return;
        }
        d->fds = fds;
        d->room = room;
    }
    d->fds[d->n_fds] = fd;
    state_put32(d->w, d->n_fds++);
}

void dump_set(struct dump *d, const struct fds *fds)
{
    uint32_t place = STATE_NONE;
    if (fds && !pointer_map_add(&d->sets, fds, &place))
        dump_fail(d, -ENOMEM);
    state_put32(d->w, place);
}

void dump_sets(struct dump *d)
{
    state_put32(d->w, d->sets.n);
    for (uint32_t i = 0; i < d->sets.n; i++) {
        const struct fds *fds = d->sets.all[i];
        state_put32(d->w, fds->n);
        for (uint32_t k = 0; k < fds->n; k++)
            dump_descriptor(d, fds->fd[k]);
    }
}

void dump_descriptors(struct dump *d)
{
    state_put32(d->w, d->n_fds);
    for (uint32_t i = 0; i < d->n_fds; i++) {
        uint64_t device = 0, inode = 0;
        if (!descriptor_identity(d->fds[i], &device, &inode))
            dump_fail(d, -errno);
        state_put32(d->w, (uint32_t)d->fds[i]);
        state_put64(d->w, device);
        state_put64(d->w, inode);
    }
}

static bool get_descriptor(struct state_reader *r, struct descriptor *descriptor)
{
    *descriptor = (struct descriptor){.fd = (int)state_get32(r)};
    descriptor->device = state_get64(r);
    descriptor->inode = state_get64(r);
    return !r->failed && descriptor->fd > 2;
}

int restore_descriptor_table(struct restore *s)
{
    uint32_t n = state_count(&s->r, DESCRIPTOR_SIZE);
    s->descriptors = restore_array(s, n, sizeof(*s->descriptors));
    if (!s->descriptors)
        return -ENOMEM;
    for (s->room = n; s->n_descriptors < n; s->n_descriptors++) {
        if (!get_descriptor(&s->r, &s->descriptors[s->n_descriptors]))
            return -EINVAL;
    }
    return 0;
}

/* Skips what precedes the descriptors of a connection that is handed up. */
static uint32_t next_handed_up(struct state_reader *r)
{
    state_get(r, 8 + 4 + 8 + 8);
    state_get_bytes(r);
    return state_count(r, DESCRIPTOR_SIZE);
}

static void collect(struct state_reader *r, uint32_t n, int *fds, size_t max, int64_t *found)
{
    struct descriptor descriptor;
    for (uint32_t i = 0; i < n && get_descriptor(r, &descriptor); i++, (*found)++) {
        if ((uint64_t)*found < max)
            fds[*found] = descriptor.fd;
    }
}

int64_t restore_descriptors(const struct state_view *view, int *fds, size_t max)
{
    int64_t found = 0;
    struct state_reader r = state_section(view, RELAY_STATE_DESCRIPTORS);
    collect(&r, state_count(&r, DESCRIPTOR_SIZE), fds, max, &found);
    if (!state_at_end(&r))
        return -EINVAL;
    if (!view->places[RELAY_STATE_HANDED_UP].content)
        return found;
    r = state_section(view, RELAY_STATE_HANDED_UP);
    for (uint32_t n = state_get32(&r); n > 0 && !r.failed; n--)
        collect(&r, next_handed_up(&r), fds, max, &found);
    return state_at_end(&r) ? found : -EINVAL;
}

bool restore_own_descriptor(struct restore *s, int *slot)
{
    if (s->n_descriptors == s->room) {
        struct descriptor *all = realloc(s->descriptors, 2 * ((size_t)s->room + 8) * sizeof(*all));
        if (!all)
            return restore_failed(s);
        s->descriptors = all;
        s->room = 2 * (s->room + 8);
    }
    struct descriptor *descriptor = &s->descriptors[s->n_descriptors];
    if (!get_descriptor(&s->r, descriptor))
        return false;
    descriptor->slot = slot;
    *slot = -1;
    s->n_descriptors++;
    return true;
}

bool restore_descriptor(struct restore *s, int *slot)
{
    uint32_t place = state_get32(&s->r);
    *slot = -1;
    if (s->r.failed || place >= s->n_descriptors || s->descriptors[place].slot)
        return false;
    s->descriptors[place].slot = slot;
    return true;
}

/* The descriptors are not open yet, so that freeing the set closes nothing. */
static struct fds *restore_one_set(struct restore *s)
{
    uint32_t n = state_count(&s->r, sizeof(uint32_t));
    struct fds *fds = restore_array(s, 1, sizeof(*fds) + n * sizeof(*fds->fd));
    if (!fds)
        return NULL;
    fds->references = 1;
    for (; fds->n < n; fds->n++) {
        if (!restore_descriptor(s, &fds->fd[fds->n])) {
            fds_free(fds);
            return NULL;
        }
    }
    return fds;
}

int restore_sets(struct restore *s)
{
    uint32_t n = state_count(&s->r, sizeof(uint32_t));
    s->sets = restore_array(s, n, sizeof(*s->sets));
    if (!s->sets)
        return -ENOMEM;
    for (; s->n_sets < n; s->n_sets++) {
        s->sets[s->n_sets] = restore_one_set(s);
        if (!s->sets[s->n_sets])
            return -EINVAL;
    }
    return 0;
}

bool restore_set(struct restore *s, struct fds **fds)
{
    uint32_t place = state_get32(&s->r);
    *fds = NULL;
    if (s->r.failed || (place >= s->n_sets && place != STATE_NONE))
        return false;
    if (place != STATE_NONE)
        *fds = fds_ref(s->sets[place]);
    return true;
}

/* The first was the only one, in a whole byte, before 0.1.0 was released. */
#define DOOR_SIMPLE 1u
#define DOOR_ONLY_EXTERNAL 2u

void dump_doors(struct dump *d)
{
    uint32_t n = 0;
    LIST_FOR (at, &d->bus->doors)
        n++;
    state_put32(d->w, n);
    LIST_FOR (at, &d->bus->doors) {
        const struct door *door = CONTAINER_OF(at, struct door, in_doors);
        dump_descriptor(d, door->fd);
        state_put32(d->w, door->number);
        state_put8(d->w, (uint8_t)((door->simple ? DOOR_SIMPLE : 0) |
                                   (door->only_external ? DOOR_ONLY_EXTERNAL : 0)));
        state_put_text(d->w, span_of(door->guid));
    }
}

static struct door *restore_door(struct restore *s)
{
    struct door *door = door_new(-1, 0, "", false, false);
    if (!door || !restore_descriptor(s, &door->fd)) {
        s->no_memory |= !door;
        door_free(door);
        return NULL;
    }
    door->number = state_get32(&s->r);
    uint8_t flags = state_get8(&s->r);
    door->simple = flags & DOOR_SIMPLE;
    door->only_external = flags & DOOR_ONLY_EXTERNAL;
    struct span guid = state_get_bytes(&s->r);
    if (s->r.failed || guid.n >= sizeof(door->guid)) {
        door_free(door);
        return NULL;
    }
    memcpy(door->guid, guid.s, guid.n);
    return door;
}

int restore_doors(struct restore *s)
{
    uint32_t n = state_count(&s->r, 13);
    s->doors = restore_array(s, n, sizeof(*s->doors));
    if (!s->doors)
        return -ENOMEM;
    for (; s->n_doors < n; s->n_doors++) {
        struct door *door = restore_door(s);
        if (!door)
            return -EINVAL;
        s->doors[s->n_doors] = door;
        list_append(&s->bus->doors, &door->in_doors);
    }
    return 0;
}
