/* SPDX-License-Identifier: MIT */
#include "clock.h"

#include "process.h"

#include <dirent.h>
#include <stdio.h>

static void add_thread(struct cost *sum, pid_t pid, const char *thread)
{
    char path[320];
    unsigned long long time, turns;
    snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, thread);
    FILE *file = fopen(path, "r");
    if (!file)
        return;
    if (fscanf(file, "%llu %*u %llu", &time, &turns) == 2) {
        sum->cpu_ns += time;
        sum->turns += turns;
    }
    fclose(file);
}

struct cost clock_cost(const struct pids *pids)
{
    struct cost sum = {0};
    for (int i = 0; i < pids->n; i++) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/task", pids->pid[i]);
        DIR *tasks = opendir(path);
        if (!tasks)
            die("no process %d", pids->pid[i]);
        for (struct dirent *entry; (entry = readdir(tasks));)
            if (entry->d_name[0] != '.')
                add_thread(&sum, pids->pid[i], entry->d_name);
        closedir(tasks);
    }
    return sum;
}

struct cost clock_cost_since(const struct pids *pids, const struct cost *begin)
{
    struct cost cost = clock_cost(pids);
    cost.cpu_ns -= begin->cpu_ns;
    cost.turns -= begin->turns;
    return cost;
}
