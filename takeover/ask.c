/* SPDX-License-Identifier: MIT */
#include "takeover.h"

#include "body.h"
#include "mapping.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define STATS "org.freedesktop.DBus.Debug.Stats"
#define SYSTEMD "org.freedesktop.systemd1"
#define ANSWER_TIME 10000 /* milliseconds for one round of answers; the daemon may be busy */
#define FIND_TIME 2000
#define JOBS_TIME 2000

/* Lets everything go on until all calls up to a serial have been answered, from one on. */
static bool wait_for(struct takeover *t, uint32_t first, uint32_t last, int milliseconds)
{
    int64_t end = takeover_now() + milliseconds;
    for (uint32_t serial = first; serial != last + 1; serial++) {
        while (!observer_reply(&t->observer, serial)) {
            int64_t left = end - takeover_now();
            if (first == 0 || left <= 0)
                return takeover_refuse(t, "The daemon does not answer");
            if (pump(t, (int)left) == PUMP_LOST)
                return takeover_refuse(t, "The daemon has ended, or has closed our connection");
            if (t->traffic.failed)
                return takeover_refuse(t, "The daemon's messages can't be followed: no memory?");
        }
    }
    return true;
}

static const struct message *ask(struct takeover *t, const char *interface, const char *member)
{
    uint32_t serial = observer_ask(&t->observer, interface, member, NULL);
    return wait_for(t, serial, serial, ANSWER_TIME) ? observer_reply(&t->observer, serial) : NULL;
}

static bool unreadable(struct takeover *t)
{
    return takeover_refuse(t, "%s", t->snapshot.why);
}

static bool ask_queues(struct takeover *t)
{
    struct snapshot *s = &t->snapshot;
    uint32_t first = t->observer.serial + 1;
    for (uint32_t i = 0; i < s->n_names; i++)
        observer_ask(&t->observer, BUS_NAME, "ListQueuedOwners", s->names[i].text);
    if (s->n_names > 0 && !wait_for(t, first, t->observer.serial, ANSWER_TIME))
        return false;
    for (uint32_t i = 0; i < s->n_names; i++) {
        if (!snapshot_take_queue(s, i, observer_reply(&t->observer, first + i)))
            return unreadable(t);
    }
    return true;
}

bool ask_snapshot(struct takeover *t)
{
    struct snapshot *s = &t->snapshot;
    const struct message *reply;
    snapshot_free(s);
    observer_forget(&t->observer);
    /* First, so that all that was read before it has been dispatched when names are asked for. */
    if (!(reply = ask(t, BUS_NAME, "GetId")))
        return false;
    if (!snapshot_take_guid(s, reply))
        return unreadable(t);
    if (!(reply = ask(t, BUS_NAME, "ListNames")))
        return false;
    if (!snapshot_take_names(s, reply))
        return unreadable(t);
    if (!ask_queues(t) || !(reply = ask(t, STATS, "GetAllMatchRules")))
        return false;
    return snapshot_take_rules(s, reply) || unreadable(t);
}

/* The names whose descriptors are not known, each with its probe and its process asked for. */
struct search {
    struct mapping_wanted *wanted;
    size_t n;
    uint32_t first; /* serial of the first question */
};

static bool search_begin(struct takeover *t, struct search *search)
{
    const struct snapshot *s = &t->snapshot;
    *search = (struct search){calloc(s->n_ids > 0 ? s->n_ids : 1, sizeof(*search->wanted)), 0,
                              t->observer.serial + 1};
    if (!search->wanted)
        return takeover_refuse(t, "No memory");
    for (uint32_t i = 0; i < s->n_ids; i++) {
        char name[32];
        if (traffic_fd(&t->traffic, s->ids[i]) >= 0)
            continue;
        snprintf(name, sizeof(name), ":1.%llu", (unsigned long long)s->ids[i]);
        search->wanted[search->n++].id = s->ids[i];
        observer_ask(&t->observer, BUS_NAME, "GetConnectionUnixProcessID", name);
    }
    for (size_t i = 0; i < search->n; i++)
        observer_probe(&t->observer, search->wanted[i].id);
    return true;
}

static void search_read(struct takeover *t, struct search *search)
{
    for (uint32_t i = 0; i < search->n; i++) {
        const struct message *reply = observer_reply(&t->observer, search->first + i);
        struct body body;
        if (reply && reply->type == MESSAGE_METHOD_RETURN && body_begin(&body, reply, "u"))
            search->wanted[i].pid = body_uint32(&body);
    }
}

/* Clients whose descriptors stay unknown are obstacles; they may have left meanwhile. */
static bool search_end(struct takeover *t, struct search *search)
{
    int64_t end = takeover_now() + FIND_TIME;
    while (mapping_conclude(&t->traffic, &t->sockets, search->wanted, search->n) > 0) {
        int64_t left = end - takeover_now();
        if (left <= 0)
            break;
        if (pump(t, left < 20 ? (int)left : 20) == PUMP_LOST)
            return takeover_refuse(t, "The daemon has ended, or has closed our connection");
    }
    return true;
}

bool ask_descriptors(struct takeover *t)
{
    struct search search;
    if (!search_begin(t, &search))
        return false;
    bool good = true;
    if (search.n > 0) {
        /* Behind the probes: then these have been handled, too. */
        uint32_t last = observer_ask(&t->observer, BUS_NAME, "GetId", NULL);
        good = wait_for(t, search.first, search.first + (uint32_t)search.n - 1, ANSWER_TIME) &&
               wait_for(t, last, last, ANSWER_TIME);
        search_read(t, &search);
        good = good && search_end(t, &search);
    }
    free(search.wanted);
    return good;
}

/* Our own unit, whose job does not count. */
static bool is_own_unit(struct span unit)
{
    char text[4096];
    int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0 || unit.n == 0)
        return false;
    text[n] = '\0';
    char name[264];
    snprintf(name, sizeof(name), "/%.*s", (int)(unit.n < 256 ? unit.n : 256), unit.s);
    return strstr(text, name) != NULL;
}

static bool is_start(struct span type)
{
    return span_equal(type, SPAN("start")) || span_equal(type, SPAN("restart"));
}

/* a(usssoo): number, unit, type, state, path, path of the unit */
static bool note_jobs(struct takeover *t, const struct message *reply)
{
    struct body body;
    if (reply->type == MESSAGE_ERROR)
        return true; /* it does not tell us, or has gone */
    if (!body_begin(&body, reply, "a(usssoo)"))
        return takeover_refuse(t, "systemd: an unexpected answer");
    for (uint32_t end = body_array(&body, 8); body_more(&body, end);) {
        body_align(&body, 8);
        body_uint32(&body);
        struct span unit = body_string(&body), type = body_string(&body);
        for (int i = 0; i < 3; i++)
            body_string(&body);
        bool service = unit.n > 8 && memcmp(unit.s + unit.n - 8, ".service", 8) == 0;
        if (!body.failed && service && is_start(type) && !is_own_unit(unit))
            obstacles_add(&t->obstacles, -1, "systemd is starting %.*s", (int)(unit.n < 100 ? unit.n : 100),
                          unit.s);
    }
    return !body.failed || takeover_refuse(t, "systemd: an unexpected answer");
}

bool ask_jobs(struct takeover *t)
{
    if (!snapshot_name(&t->snapshot, SYSTEMD))
        return true;
    const struct marshal_header header = {.type = MESSAGE_METHOD_CALL,
                                          .flags = MESSAGE_NO_AUTO_START,
                                          .path = SPAN("/org/freedesktop/systemd1"),
                                          .interface = SPAN("org.freedesktop.systemd1.Manager"),
                                          .member = SPAN("ListJobs"),
                                          .destination = SPAN(SYSTEMD)};
    uint32_t serial = observer_call(&t->observer, &header, (struct span){0});
    if (!wait_for(t, serial, serial, JOBS_TIME)) {
        if (t->observer.failed)
            return false;
        obstacles_add(&t->obstacles, -1, "systemd does not say what it is starting");
        return true;
    }
    return note_jobs(t, observer_reply(&t->observer, serial));
}
