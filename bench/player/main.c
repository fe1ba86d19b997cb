/* SPDX-License-Identifier: MIT */

/* Replays a recorded log-in, and says how long the bus took. See ../README.md. */

#include "../client/clock.h"
#include "../client/marks.h"
#include "../client/process.h"
#include "replay.h"
#include "state.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct settings settings = {.processes = 1, .deadline = 60};

static const char usage_text[] =
    "player --address unix:path=... [options] PLAN\n"
    "  --processes N  share the connections between N processes (1)\n"
    "  --speed X      1: as recorded; 10: ten times as fast; 0: as fast as the dependencies allow (0)\n"
    "  --deadline S   give up after so many seconds, and say what waits for what (60)\n"
    "  --starts PATH  a socket for datagrams with names that are to be started\n"
    "  --hold         print `ready` when the connections of the beginning are there; begin with the next "
    "line of\n"
    "                 the standard input; keep all connections until that ends";

static const struct option long_options[] = {
    {"address", 1, 0, 'a'}, {"processes", 1, 0, 'p'}, {"speed", 1, 0, 's'}, {"deadline", 1, 0, 'd'},
    {"starts", 1, 0, 'S'},  {"hold", 0, 0, 'H'},      {"help", 0, 0, 'h'},  {0}};

static pid_t children[MOST_PROCESSES];

static _Noreturn void usage(int status)
{
    puts(usage_text);
    exit(status);
}

static const char *parse(int argc, char **argv)
{
    for (int option; (option = getopt_long(argc, argv, "h", long_options, NULL)) >= 0;) {
        if (option == 'a')
            settings.address = optarg;
        else if (option == 'p')
            settings.processes = (uint32_t)atoi(optarg);
        else if (option == 's')
            settings.speed = atof(optarg);
        else if (option == 'd')
            settings.deadline = atof(optarg);
        else if (option == 'S')
            settings.starts = optarg;
        else if (option == 'H')
            settings.hold = true;
        else
            usage(option == 'h' ? 0 : 2);
    }
    if (optind != argc - 1 || !settings.address || settings.processes < 1 ||
        settings.processes > MOST_PROCESSES || !(settings.speed >= 0) ||
        !(settings.deadline > 0 && settings.deadline < 1e6))
        usage(2);
    return argv[optind];
}

static void child(uint32_t process)
{
    children[process] = fork();
    if (children[process] < 0)
        die("fork failed");
    if (children[process])
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    replay_run(process);
    atomic_fetch_add(&state->done, 1);
    for (;;)
        pause();
}

static _Noreturn void end(int status)
{
    for (uint32_t i = 0; i < settings.processes; i++)
        if (children[i] > 0)
            kill(children[i], SIGKILL);
    while (wait(NULL) > 0) {
    }
    exit(status);
}

/* Waits for the children to get somewhere; ends if one has failed. */
static void wait_until(bool (*there)(void))
{
    while (!there()) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid > 0)
            end(1);
        usleep(1000);
    }
}

static bool all_done(void)
{
    return atomic_load(&state->done) == settings.processes;
}

static void count_receivers(uint32_t *few, uint32_t *many)
{
    for (uint32_t i = 0; i < plan.n_events; i++) {
        const struct event *event = &plan.events[i];
        uint32_t got = atomic_load(&state->got[i]);
        if (got >= event->least && got <= event->most)
            continue;
        *(got < event->least ? few : many) += 1;
        char key[300];
        snprintf(key, sizeof(key), "%s", event->key);
        for (char *at = key; *at; at++)
            *at = *at == '\t' ? ' ' : *at;
        state_remark("line %u (%s): %u receivers instead of %u to %u", event->line, key, got, event->least,
                     event->most);
    }
}

static void print_text(const char *text)
{
    putchar('"');
    for (; *text; text++)
        if (*text != '"' && *text != '\\' && (unsigned char)*text >= ' ')
            putchar(*text);
    putchar('"');
}

static void print_remarks(void)
{
    char *rest = state->remarks, *line;
    const char *between = "";
    state->remarks[REMARKS - 1] = 0;
    printf(", \"remarks\": [");
    while ((line = strsep(&rest, "\n")) && *line) {
        fputs(between, stdout);
        print_text(line);
        between = ", ";
    }
    putchar(']');
}

/* Of each call: its group, and microseconds until the answer; without what the client took that answered. */
static void print_times(void)
{
    const char *between = "";
    printf(", \"times_us\": [");
    for (uint32_t i = 0; i < plan.n_ops; i++) {
        const struct op *op = &plan.ops[i];
        if (op->start || op->reply == NO_EVENT || !*op->group)
            continue;
        uint64_t ns = atomic_load(&state->took[op->reply]);
        if (op->own != NO_EVENT)
            ns += atomic_load(&state->took[op->own]);
        printf("%s[", between);
        print_text(op->group);
        printf(", %.1f]", (double)ns / 1e3);
        between = ", ";
    }
    putchar(']');
}

static bool report(void)
{
    uint32_t few = 0, many = 0;
    struct rusage used;
    count_receivers(&few, &many);
    getrusage(RUSAGE_SELF, &used);
    bool well = !few && !many && !state->different && !state->unexpected;
    printf("{\"ok\": %s, \"seconds\": %.6f", well ? "true" : "false",
           (double)(state->last - state->go) / 1e9);
    printf(", \"sent\": %u, \"received\": %u, \"different_answers\": %u, \"unexpected\": %u", state->sent,
           state->received, state->different, state->unexpected);
    printf(", \"too_few_receivers\": %u, \"too_many_receivers\": %u", few, many);
    print_remarks();
    print_times();
    puts("}");
    fflush(stdout);
    return well;
}

int main(int argc, char **argv)
{
    struct rlimit limit;
    char line[16];
    plan_read(&plan, parse(argc, argv));
    state_create();
    replay_prepare();
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    signal(SIGPIPE, SIG_IGN);
    for (uint32_t i = 0; i < settings.processes; i++)
        child(i);
    wait_until(state_started);
    if (settings.hold) {
        puts("ready");
        fflush(stdout);
        if (!fgets(line, sizeof(line), stdin))
            end(1);
    }
    mark_begin();
    atomic_store(&state->go, clock_ns());
    for (uint32_t i = 0; i < settings.processes; i++)
        replay_wake(i);
    wait_until(all_done);
    bool well = report();
    while (settings.hold && fgets(line, sizeof(line), stdin)) {
    }
    if (settings.starts)
        unlink(settings.starts);
    end(well ? 0 : 1);
}
