/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "control.h"
#include "plan.h"
#include "quiet.h"
#include "serve.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#define WARM_UP 20u /* rounds after which the memory of the bus no longer grows */
#define GROWTH (128u << 20)

static struct settings defaults(void)
{
    return (struct settings){.rounds = UINT32_MAX,
                             .seconds = UINT32_MAX,
                             .actions = UINT32_MAX,
                             .max_fds = 4,
                             .slots = 24,
                             .configurations = 1,
                             .patience = 60000};
}

static void take_uids(struct settings *s, char *text)
{
    for (char *one = strtok(text, ","); one && s->n_uids < UIDS_MAX; one = strtok(NULL, ","))
        s->uids[s->n_uids++] = (uint32_t)strtoul(one, NULL, 10);
}

/* KEY=VALUE, written by config.py. */
static bool take_setting(struct settings *s, char *argument)
{
    const struct {
        const char *key;
        uint32_t *number;
        bool *flag;
    } known[] = {
        {"round", &s->first_round, NULL},
        {"rounds", &s->rounds, NULL},
        {"seconds", &s->seconds, NULL},
        {"actions", &s->actions, NULL},
        {"max_fds", &s->max_fds, NULL},
        {"configurations", &s->configurations, NULL},
        {"slots", &s->slots, NULL},
        {"patience", &s->patience, NULL},
        {"wide", NULL, &s->wide},
        {"fd_timeout", NULL, &s->fd_timeout},
        {"auth_timeout", NULL, &s->auth_timeout},
        {"reply_timeout", NULL, &s->reply_timeout},
        {"strays", NULL, &s->strays},
        {"services", NULL, &s->services},
        {"containers", NULL, &s->containers},
        {"trace", NULL, &s->trace},
        {"digests", NULL, &s->digests},
    };
    char *value = strchr(argument, '=');
    if (!value)
        return false;
    *value++ = 0;
    if (strcmp(argument, "path") == 0)
        s->path = value;
    else if (strcmp(argument, "directory") == 0)
        s->directory = value;
    else if (strcmp(argument, "bus") == 0)
        s->bus = atoi(value);
    else if (strcmp(argument, "seed") == 0)
        s->seed = strtoull(value, NULL, 10);
    else if (strcmp(argument, "uids") == 0)
        take_uids(s, value);
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        if (strcmp(argument, known[i].key) != 0)
            continue;
        if (known[i].number)
            *known[i].number = (uint32_t)strtoul(value, NULL, 10);
        else
            *known[i].flag = value[0] == '1';
    }
    return true;
}

/* The memory of a bus without clients is bounded. */
static void check_memory(const struct world *w, uint64_t memory)
{
    static uint64_t warm;
    uint32_t rounds = w->round - w->settings.first_round;
    if (rounds == WARM_UP)
        warm = memory;
    if (rounds > WARM_UP && memory > warm + GROWTH)
        fail(w, "the bus has %llu bytes of memory, and had %llu", (unsigned long long)memory,
             (unsigned long long)warm);
}

static void play(struct world *w)
{
    int64_t end = now_ms() + (int64_t)w->settings.seconds * 1000, said = 0;
    for (uint32_t i = 0; i < w->settings.rounds && now_ms() < end; i++) {
        w->round = w->settings.first_round + i;
        plan_round(w);
        quiet_end(w, i == 0);
        if (w->settings.digests)
            fprintf(stderr, "round %u: %016llx\n", w->round, (unsigned long long)w->digest);
        if (w->reloaded)
            bus_configure(w, 0);
        world_clear(w);
        uint64_t memory = quiet_memory(w);
        check_memory(w, memory);
        if (now_ms() - said > 1000)
            reached_print(i + 1, memory);
        said = now_ms() - said > 1000 ? now_ms() : said;
    }
    reached_print(w->round - w->settings.first_round + 1, quiet_memory(w));
}

int main(int argc, char **argv)
{
    static struct world w;
    struct rlimit files;
    if (argc == 4 && strcmp(argv[1], "serve") == 0)
        return serve(argv[2], argv[3]);
    w.settings = defaults();
    for (int i = 1; i < argc; i++) {
        if (!take_setting(&w.settings, argv[i])) {
            fprintf(stderr, "usage: converse KEY=VALUE... | serve NAME HOW\n");
            return 2;
        }
    }
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    w.epoll = epoll_create1(EPOLL_CLOEXEC);
    control_connect(&w);
    world_clear(&w);
    play(&w);
    return 0;
}
