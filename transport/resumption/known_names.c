/* SPDX-License-Identifier: MIT */
#include "resumption/known_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Flags of RequestName that matter later: ALLOW_REPLACEMENT and DO_NOT_QUEUE. */
#define KNOWN_FLAGS 5u
#define REQUEST_SIZE 16u

/* Another name with room for n requests. NULL: no memory. */
static struct known_name *name_add(struct known_names *names, const char *text, size_t size, uint32_t n)
{
    if (names->n == names->room) {
        uint32_t room = names->room == 0 ? 64 : 2 * names->room;
        struct known_name *grown = realloc(names->all, room * sizeof(*grown));
        if (!grown)
            return NULL;
        names->all = grown;
        names->room = room;
    }
    struct known_name *name = &names->all[names->n];
    *name = (struct known_name){.text = strndup(text, size), .queue = calloc(n, sizeof(*name->queue))};
    names->n++; /* freed with the others */
    return name->text && name->queue ? name : NULL;
}

int known_names_read(struct known_names *names, struct state_reader *r)
{
    uint32_t n = state_count(r, 8 + REQUEST_SIZE);
    for (uint32_t i = 0; i < n; i++) {
        struct span text = state_get_bytes(r);
        uint32_t requests = state_count(r, REQUEST_SIZE);
        if (r->failed || requests == 0)
            return -EINVAL;
        struct known_name *name = name_add(names, text.s, text.n, requests);
        if (!name)
            return -ENOMEM;
        for (; name->n < requests; name->n++) {
            uint64_t peer = state_get64(r);
            uint32_t flags = state_get32(r);
            name->queue[name->n] = (struct known_request){peer, flags, state_get32(r)};
        }
    }
    return state_at_end(r) ? 0 : -EINVAL;
}

void known_names_put(const struct known_names *names, struct state_writer *w)
{
    state_put32(w, names->n);
    for (uint32_t i = 0; i < names->n; i++) {
        const struct known_name *name = &names->all[i];
        state_put_bytes(w, name->text, strlen(name->text));
        state_put32(w, name->n);
        for (uint32_t k = 0; k < name->n; k++) {
            state_put64(w, name->queue[k].peer);
            state_put32(w, name->queue[k].flags);
            state_put32(w, name->queue[k].place);
        }
    }
}

void known_names_free(struct known_names *names)
{
    for (uint32_t i = 0; i < names->n; i++) {
        free(names->all[i].text);
        free(names->all[i].queue);
    }
    free(names->all);
    *names = (struct known_names){0};
}

static struct known_name *name_find(struct known_names *names, const char *text)
{
    for (uint32_t i = 0; i < names->n; i++) {
        if (strcmp(names->all[i].text, text) == 0)
            return &names->all[i];
    }
    return NULL;
}

/* The request of a peer for a name. NULL: there is none. */
static struct known_request *request_find(const struct known_name *name, uint64_t peer)
{
    for (uint32_t i = 0; i < name->n; i++) {
        if (name->queue[i].peer == peer)
            return &name->queue[i];
    }
    return NULL;
}

static uint32_t count_requests(const struct known_names *names, uint64_t peer)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < names->n; i++)
        n += request_find(&names->all[i], peer) != NULL;
    return n;
}

int known_names_give(struct known_names *names, const char *text, uint64_t peer, uint32_t flags)
{
    struct known_name *name = name_find(names, text);
    struct known_request *request = name ? request_find(name, peer) : NULL;
    if (request) {
        request->flags = flags & KNOWN_FLAGS;
        return 0;
    }
    uint32_t place = count_requests(names, peer);
    if (name) /* a name with another owner is not the data plane's to give */
        return -EINVAL;
    name = name_add(names, text, strlen(text), 1);
    if (!name)
        return -ENOMEM;
    name->queue[name->n++] = (struct known_request){peer, flags & KNOWN_FLAGS, place};
    return 0;
}

void known_names_leave(struct known_names *names, const char *text, uint64_t peer)
{
    struct known_name *name = name_find(names, text);
    struct known_request *gone = name ? request_find(name, peer) : NULL;
    if (!gone)
        return;
    uint32_t place = gone->place;
    for (uint32_t i = 0; i < names->n; i++) {
        struct known_request *later = request_find(&names->all[i], peer);
        if (later && later->place > place)
            later->place--;
    }
    uint32_t behind = name->n - 1 - (uint32_t)(gone - name->queue);
    memmove(gone, gone + 1, behind * sizeof(*gone));
    if (--name->n > 0)
        return;
    free(name->text);
    free(name->queue);
    names->n--;
    memmove(name, name + 1, (names->n - (size_t)(name - names->all)) * sizeof(*name)); /* keeps the order */
}

const char *known_names_latest(const struct known_names *names, uint64_t peer)
{
    const char *text = NULL;
    uint32_t place = 0;
    for (uint32_t i = 0; i < names->n; i++) {
        const struct known_request *request = request_find(&names->all[i], peer);
        if (request && (!text || request->place > place)) {
            text = names->all[i].text;
            place = request->place;
        }
    }
    return text;
}
