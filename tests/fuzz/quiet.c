/* SPDX-License-Identifier: MIT */
#include "quiet.h"

#include "audit.h"
#include "control.h"
#include "send.h"

#include <dirent.h>
#include <unistd.h>

#define SYNCS 4 /* several, to include reactions of one client to another */

static bool in_step(const struct client *c)
{
    return client_alive(c) && c->state == CLIENT_ACTIVE && !c->monitor && !c->shut && !c->wild;
}

static void let_go(struct world *w)
{
    for (uint32_t i = 0; i < w->n_clients; i++) {
        struct client *c = w->clients[i];
        if (!client_alive(c))
            continue;
        if (c->wild || c->loiterer) {
            world_end(w, c);
            continue;
        }
        c->reading = true;
        c->read_chunk = 65536;
        c->hold_at = NEVER;
        c->chunk_until = 0;
        for (size_t k = 0; k < c->later.n; k += 2)
            send_answer(w, c, w->clients[c->later.at[k]], c->later.at[k + 1], MODE_RETURN);
        c->later.n = 0;
    }
}

/* A client with pending output or expected input; NULL: there is none. */
static const struct client *busy(const struct world *w)
{
    for (uint32_t i = 0; i < w->n_clients; i++) {
        const struct client *c = w->clients[i];
        if (!client_alive(c))
            continue;
        if (client_pending(c) > 0 || c->state != CLIENT_ACTIVE || c->shut || c->close_at != NEVER)
            return c;
    }
    return NULL;
}

static size_t unwritten(const struct world *w)
{
    size_t n = 0;
    for (uint32_t i = 0; i < w->n_clients; i++)
        n += client_pending(w->clients[i]);
    return n;
}

/* The bus may be slow, but it makes progress. */
static void wait_until_written(struct world *w)
{
    int64_t end = now_ms() + w->settings.patience;
    size_t least = SIZE_MAX, left;
    const struct client *c;
    while ((c = busy(w))) {
        pump(w, 20);
        if ((left = unwritten(w)) < least) {
            least = left;
            end = now_ms() + w->settings.patience;
        }
        if (now_ms() > end)
            fail(w, "client %u (%s, uid %u) is not read from: %zu bytes are left, its state is %d%s", c->id,
                 c->unique, c->uid, client_pending(c), c->state, c->shut ? ", and it was shut down" : "");
    }
}

static bool synced(const struct world *w, const uint32_t *wanted, const struct client **late)
{
    for (uint32_t i = 0; i < w->n_clients; i++) {
        *late = w->clients[i];
        if (in_step(*late) && (*late)->synced < wanted[i])
            return false;
    }
    return true;
}

/* Each client calls the driver and gets the reply, and so has received all earlier messages. */
static void step(struct world *w, const char *member, const char *argument)
{
    static uint32_t wanted[CLIENTS_MAX];
    const struct client *late;
    int64_t end = now_ms() + w->settings.patience;
    for (uint32_t i = 0; i < w->n_clients; i++) {
        struct client *c = w->clients[i];
        wanted[i] = c->synced;
        if (!in_step(c))
            continue;
        send_sync(w, c, member, argument);
        wanted[i]++;
    }
    while (!synced(w, wanted, &late)) {
        pump(w, 20);
        if (now_ms() > end)
            fail(w, "client %u (%s, uid %u) gets no answer to %s", late->id, late->unique, late->uid, member);
    }
}

static void steps(struct world *w)
{
    wait_until_written(w);
    for (int i = 0; i < SYNCS; i++) {
        if (i == 1)
            step(w, "ListQueuedOwners", "fuzz.shared.n0");
        else
            step(w, "GetId", NULL);
    }
}

/* Fails with the bus's statistics of each client. */
static void fail_with_statistics(struct world *w, const char *why)
{
    static const char *const keys[] = {"IncomingMessages", "OutgoingMessages", "omnibus.MessagesParked",
                                       "omnibus.PendingReplies", "omnibus.MessagesRefused"};
    for (uint32_t i = 0; i < w->n_clients; i++) {
        if (!in_step(w->clients[i]) || !control_ask(w, w->clients[i]->unique))
            continue;
        fprintf(stderr, "%s:", w->clients[i]->unique);
        for (size_t k = 0; k < sizeof(keys) / sizeof(*keys); k++)
            fprintf(stderr, " %s %llu", keys[k], (unsigned long long)control_value(w, keys[k]));
        fprintf(stderr, "\n");
    }
    fail(w, "%s", why);
}

void quiet(struct world *w)
{
    int64_t end = now_ms() + w->settings.patience;
    char why[AUDIT_TEXT];
    w->settling = true;
    let_go(w);
    steps(w);
    while (!audit_messages(w, why) || !audit_statistics(w, why)) {
        pump(w, 20);
        steps(w);
        if (now_ms() > end)
            fail_with_statistics(w, why);
    }
    w->settling = false;
}

/*
 * The bus's descriptors; 0: it does not watch its configuration yet, as it does a second after the start. Its
 * inotify descriptors are not counted: one follows the service directories from the start on, and while it is
 * replaced there are two.
 */
static uint32_t open_files(const struct world *w, bool tell)
{
    char path[64], file[320], target[64];
    uint32_t n = 0, followers = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", w->settings.bus);
    DIR *directory = opendir(path);
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
        ssize_t size = readlink(file, target, sizeof(target) - 1);
        target[size > 0 ? size : 0] = 0;
        if (tell)
            fprintf(stderr, "%s: %s\n", entry->d_name, target);
        bool follows = strstr(target, "inotify") != NULL;
        followers += follows;
        n += size > 0 && !follows;
    }
    if (directory)
        closedir(directory);
    return followers > 1 ? n : 0;
}

uint64_t quiet_memory(const struct world *w)
{
    char path[64];
    unsigned long size = 0, resident = 0;
    snprintf(path, sizeof(path), "/proc/%d/statm", w->settings.bus);
    FILE *file = fopen(path, "r");
    if (!file || fscanf(file, "%lu %lu", &size, &resident) != 2)
        fail(w, "the bus is gone");
    fclose(file);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Checks the state of a bus with no connection except the fuzzer's own. */
static bool empty(struct world *w, char why[AUDIT_TEXT])
{
    static const struct {
        const char *key;
        uint64_t value;
    } expected[] = {{"ActiveConnections", 1},
                    {"IncompleteConnections", 0},
                    {"MatchRules", 1},
                    {"BusNames", 1},
                    {"omnibus.MessagesParked", 0},
                    {"omnibus.PendingReplies", 0},
                    {"omnibus.MonitorQueuedBytes", 0},
                    {"omnibus.Monitors", 0}};
    if (!control_ask(w, NULL))
        fail(w, "GetStats is refused");
    for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++) {
        uint64_t value = control_value(w, expected[i].key);
        snprintf(why, AUDIT_TEXT, "all have gone, and %s is %llu", expected[i].key,
                 (unsigned long long)value);
        if (value != expected[i].value)
            return false;
    }
    bool missed = control_missed(w);
    for (uint32_t i = 0; i < NAMES && !missed; i++) {
        snprintf(why, AUDIT_TEXT, "all have gone, and %s owns name %u", control_owner(i), i);
        if (control_owner(i)[0])
            return false;
    }
    return true;
}

static void wait_until_empty(struct world *w, bool first_round)
{
    static uint32_t files;
    int64_t end = now_ms() + w->settings.patience;
    char why[AUDIT_TEXT];
    for (;;) {
        bool is_empty = empty(w, why);
        uint32_t n = open_files(w, false);
        if (is_empty && n > 0 && (first_round || n <= files)) {
            files = first_round ? n : files;
            return;
        }
        if (is_empty)
            snprintf(why, AUDIT_TEXT, "all have gone, and the bus has %u descriptors, not %u", n, files);
        if (now_ms() > end)
            open_files(w, true);
        if (now_ms() > end)
            fail(w, "%s", why);
        pump(w, 10);
    }
}

void quiet_end(struct world *w, bool first_round)
{
    char why[AUDIT_TEXT];
    for (uint32_t i = 0; i < w->n_clients; i++)
        if (prng_one_in(&w->plan, 2) && client_alive(w->clients[i]))
            world_end(w, w->clients[i]);
    int64_t end = now_ms() + w->settings.patience;
    w->settling = true;
    steps(w);
    while (!audit_messages(w, why)) {
        steps(w);
        if (now_ms() > end)
            fail(w, "%s", why);
    }
    for (uint32_t i = 0; i < w->n_clients; i++)
        if (client_alive(w->clients[i]))
            world_end(w, w->clients[i]);
    wait_until_empty(w, first_round);
    control_forget(w);
    w->settling = false;
}
