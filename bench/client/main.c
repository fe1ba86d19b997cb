/* SPDX-License-Identifier: MIT */

/*
 * Measures D-Bus message buses without a client library. Every active client is a process of its
 * own, and every message that counts was verified: type, serials, stamped sender, destination, member,
 * signature and every byte of the body, in order. A message lost, reordered, doubled or altered ends the case
 * with an error. See ../README.md.
 */

#include "cases.h"
#include "connection.h"
#include "options.h"
#include "payload.h"
#include "process.h"
#include "report.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define MAX_SIZE (64u << 20)
#define ABUSER 65534

struct options options = {.seconds = 2,
                          .warm = 0.2,
                          .size = 64,
                          .window = 64,
                          .rules = 20,
                          .clients = 200,
                          .rule_kind = "path",
                          .subs = {{1, 8, 32}, 3},
                          .conns = {{0, 100, 500}, 3}};

static const char usage_text[] =
    "busbench --address unix:path=... [options] CASE...\n"
    "cases: rtt pipeline fanout connect driver services bandwidth memory mixed login bystander[=TROUBLE] "
    "limit[=WHAT] "
    "all\n"
    "  fanout=answered   every subscriber answers each signal, over the bus, before the next is sent\n"
    "  bystander=...     alone flood-calls flood-signals stuck-reader leak-connections leak-fds large "
    "reload\n"
    "  limit=...         floors, which need no bus: direct-stream direct-seqpacket relay-epoll relay-spin\n"
    "                    relay-uring udp-multicast netlink unix-loop unix-uring mcast\n"
    "  --seconds S       measured time of each case (2)\n"
    "  --warm S          time before that, verified but not counted (0.2)\n"
    "  --size N          body bytes (64)\n"
    "  --window N        outstanding messages (64)\n"
    "  --batch           clients write all pending messages with one send\n"
    "  --subs 1,8,32     subscribers of fanout\n"
    "  --idle N          fanout: N idle clients with rules that don't match besides\n"
    "  --rules N         fanout: rules of each idle client (20)\n"
    "  --rule-kind K     path: same interface and member, other paths (default); interface; sender: other\n"
    "                    well-known senders; namespace, arg0: as desktops have them\n"
    "  --clients N       clients of mixed and login (200)\n"
    "  --conns 0,100,500 connections of memory\n"
    "  --pid P[,P]       processes of the daemon: CPU time a message, memory\n"
    "  --uid N           user of abusive clients (65534, if root runs it)\n"
    "  --two-users       every other client is of that user\n"
    "  --wellknown       rtt, pipeline: call a well-known name\n"
    "  --service-address A   rtt, pipeline, bandwidth: the name is of a client of this bus, and has an owner "
    "on\n"
    "                    the other by omnibus-link\n"
    "  --auth-pipelined  authenticate in one write, as sd-bus does\n"
    "  --kernel-memory F memory: report the kernel's too, of the cgroup with this memory.stat\n"
    "  --json            one JSON object a line\n"
    "  --label TEXT      put into each JSON object";

static const struct option long_options[] = {{"address", 1, 0, 'a'},
                                             {"seconds", 1, 0, 's'},
                                             {"warm", 1, 0, 'w'},
                                             {"size", 1, 0, 'z'},
                                             {"window", 1, 0, 'W'},
                                             {"batch", 0, 0, 'b'},
                                             {"subs", 1, 0, 'n'},
                                             {"idle", 1, 0, 'i'},
                                             {"rules", 1, 0, 'r'},
                                             {"rule-kind", 1, 0, 'k'},
                                             {"clients", 1, 0, 'C'},
                                             {"conns", 1, 0, 'c'},
                                             {"pid", 1, 0, 'p'},
                                             {"uid", 1, 0, 'u'},
                                             {"wellknown", 0, 0, 'K'},
                                             {"service-address", 1, 0, 'L'},
                                             {"auth-pipelined", 0, 0, 'A'},
                                             {"two-users", 0, 0, 'U'},
                                             {"kernel-memory", 1, 0, 'm'},
                                             {"json", 0, 0, 'j'},
                                             {"label", 1, 0, 'l'},
                                             {"help", 0, 0, 'h'},
                                             {0}};

static _Noreturn void usage(int status)
{
    puts(usage_text);
    exit(status);
}

static int numbers(char *text, int *out, int max)
{
    int n = 0;
    for (char *at = strtok(text, ","); at && n < max; at = strtok(NULL, ","))
        out[n++] = atoi(at);
    return n;
}

static void set_option(int option, char *value)
{
    struct options *o = &options;
    switch (option) {
    case 'a':
        o->address = value;
        break;
    case 's':
        o->seconds = atof(value);
        break;
    case 'w':
        o->warm = atof(value);
        break;
    case 'z':
        o->size = (size_t)atol(value);
        o->size_given = true;
        break;
    case 'W':
        o->window = atoi(value);
        o->window_given = true;
        break;
    case 'b':
        o->batch = true;
        break;
    case 'n':
        o->subs.n = numbers(value, o->subs.at, MAX_STEPS);
        break;
    case 'i':
        o->idle = atoi(value);
        break;
    case 'r':
        o->rules = atoi(value);
        break;
    case 'k':
        o->rule_kind = value;
        break;
    case 'C':
        o->clients = atoi(value);
        break;
    case 'c':
        o->conns.n = numbers(value, o->conns.at, MAX_STEPS);
        break;
    case 'p':
        o->daemon.n = numbers(value, o->daemon.pid, MAX_PIDS);
        break;
    case 'u':
        o->uid = (uid_t)atol(value);
        break;
    case 'K':
        o->wellknown = true;
        break;
    case 'L':
        o->service_address = value;
        o->wellknown = true;
        break;
    case 'A':
        o->pipelined_auth = true;
        break;
    case 'U':
        o->two_users = true;
        break;
    case 'm':
        o->kernel_memory = value;
        break;
    case 'j':
        o->json = true;
        break;
    case 'l':
        o->label = value;
        break;
    default:
        usage(option == 'h' ? 0 : 2);
    }
}

static void check_options(void)
{
    const struct options *o = &options;
    if (o->size < PAYLOAD_LEAST || o->size > MAX_SIZE || o->window < 1 || o->seconds <= 0 || o->clients < 8 ||
        o->clients > 1000)
        usage(2);
    for (int i = 0; i < o->subs.n; i++)
        if (o->subs.at[i] < 1 || o->subs.at[i] > 1000)
            usage(2);
}

int main(int argc, char **argv)
{
    struct rlimit limit;
    options.uid = getuid() ? getuid() : ABUSER;
    for (int option; (option = getopt_long(argc, argv, "h", long_options, NULL)) >= 0;)
        set_option(option, optarg);
    if (optind == argc)
        usage(2);
    check_options();
    process_init();
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    signal(SIGPIPE, SIG_IGN);
    for (int i = optind; i < argc; i++) {
        char *detail = strchr(argv[i], '=');
        if (detail)
            *detail++ = 0;
        case_run(argv[i], detail);
    }
    return report_failures() ? 1 : 0;
}
