/* SPDX-License-Identifier: MIT */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options options;
struct load load = {.clients = 6, .count = 1000, .deadline = 60};

static _Noreturn void usage(void)
{
    fprintf(stderr, "omnibus-load order|match|monitor ADDRESS SEED COUNT CLIENTS SECONDS\n");
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        bool (*run)(void);
    } all[] = {{"order", order_run}, {"match", match_run}, {"monitor", monitor_run}};
    if (argc != 7)
        usage();
    options.address = argv[2];
    load = (struct load){.seed = (uint32_t)atoi(argv[3]),
                         .count = atoi(argv[4]),
                         .clients = atoi(argv[5]),
                         .deadline = atoi(argv[6])};
    if (load.clients < 2 || load.clients > MAX_CLIENTS || load.count < 1 || load.deadline < 1)
        usage();
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        if (strcmp(argv[1], all[i].name))
            continue;
        process_init();
        return all[i].run() ? 0 : 1;
    }
    usage();
}
