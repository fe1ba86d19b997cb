/* SPDX-License-Identifier: MIT */
#include "takeover.h"

#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define SYSTEM_SOCKET "/run/dbus/system_bus_socket"
#define PATIENCE 10 /* seconds */

static const char usage[] =
    "usage: omnibus-takeover [--dry-run] [--force] [--patience=SECONDS] [--program=OMNIBUSD]\n"
    "  --system | --user=UID | PID\n"
    "Turns a running dbus-daemon into omnibusd, with all of its clients. Nothing changes if it refuses.\n"
    "--dry-run: only say whether it can be done.\n"
    "--force: end the connections that can't be carried, and go on where a security module decided.\n"
    "Exit status: 0 done, 1 refused, 2 usage, 3 omnibusd was executed and does not serve.\n";

int64_t takeover_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool takeover_refuse(struct takeover *t, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(t->why, sizeof(t->why), format, arguments);
    va_end(arguments);
    return false;
}

/* A decimal number up to max; -1: it is none. */
static long number(const char *text, long max)
{
    char *end;
    long value = strtol(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && value <= max ? value : -1;
}

/* omnibusd beside this program. */
static const char *beside(char path[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 16);
    if (n <= 0)
        return "/usr/bin/omnibusd";
    path[n] = '\0';
    strcpy(strrchr(path, '/'), "/omnibusd");
    return path;
}

static bool read_options(int argc, char **argv, struct options *o)
{
    static char socket[64];
    static const struct option known[] = {{"dry-run", no_argument, NULL, 'n'},
                                          {"force", no_argument, NULL, 'f'},
                                          {"patience", required_argument, NULL, 'w'},
                                          {"program", required_argument, NULL, 'p'},
                                          {"system", no_argument, NULL, 's'},
                                          {"user", required_argument, NULL, 'u'},
                                          {"fault", required_argument, NULL, 'x'}, /* for tests */
                                          {0}};
    long value = 0;
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1 && value >= 0;) {
        switch (option) {
        case 'n':
            o->dry_run = true;
            break;
        case 'f':
            o->force = true;
            break;
        case 'w':
            value = number(optarg, 3600);
            o->patience = (int)(1000 * value);
            break;
        case 'p':
            o->program = optarg;
            break;
        case 's':
            o->socket = SYSTEM_SOCKET;
            break;
        case 'u':
            value = number(optarg, UINT32_MAX - 1);
            o->owner = (uid_t)value;
            snprintf(socket, sizeof(socket), "/run/user/%ld/bus", value);
            o->socket = socket;
            break;
        case 'x':
            value = number(optarg, INT_MAX);
            o->fault = (unsigned)value;
            break;
        default:
            return false;
        }
    }
    if (optind < argc) {
        value = number(argv[optind], INT_MAX);
        o->pid = (pid_t)value;
    }
    return value >= 0 && argc - optind <= 1 && (o->pid > 0) != (o->socket != NULL);
}

/* Children are waited for, and the stops of the daemon are signals, too. Signals end us at once else. */
static int block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void takeover_free(struct takeover *t)
{
    observer_close(&t->observer);
    obstacles_free(&t->obstacles);
    snapshot_free(&t->snapshot);
    traffic_free(&t->traffic);
    sockets_free(&t->sockets);
    process_free(&t->process);
    free(t->draft);
    close(t->signals);
}

int main(int argc, char **argv)
{
    char program[PATH_MAX];
    struct options options = {.program = beside(program), .patience = 1000 * PATIENCE};
    if (!read_options(argc, argv, &options)) {
        fputs(usage, stderr);
        return TAKEOVER_USAGE;
    }
    struct takeover t = {.options = &options, .observer.fd = -1, .rehearsal.output = -1};
    t.signals = block_signals();
    if (t.signals < 0 || !traffic_init(&t.traffic)) {
        perror("omnibus-takeover");
        return TAKEOVER_REFUSED;
    }
    enum takeover_status status = takeover_run(&t);
    if (t.why[0] != '\0' && status != TAKEOVER_DONE)
        fprintf(stderr, "%s\n", t.why);
    takeover_free(&t);
    return (int)status;
}
