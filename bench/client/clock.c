/* SPDX-License-Identifier: MIT */
#include "clock.h"

#include "process.h"

#include <dirent.h>
#include <stdio.h>

static uint64_t thread_time(pid_t pid, const char *thread)
{
    char path[320];
    unsigned long long time = 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, thread);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    if (fscanf(file, "%llu", &time) != 1)
        time = 0;
    fclose(file);
    return time;
}

static uint64_t thread_sleeps(pid_t pid, const char *thread)
{
    char path[320], line[256];
    unsigned long long sleeps = 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%s/status", pid, thread);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    while (fgets(line, sizeof(line), file))
        if (sscanf(line, "voluntary_ctxt_switches: %llu", &sleeps) == 1)
            break;
    fclose(file);
    return sleeps;
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
            if (entry->d_name[0] != '.') {
                sum.cpu_ns += thread_time(pids->pid[i], entry->d_name);
                sum.sleeps += thread_sleeps(pids->pid[i], entry->d_name);
            }
        closedir(tasks);
    }
    return sum;
}

struct cost clock_cost_since(const struct pids *pids, const struct cost *begin)
{
    struct cost cost = clock_cost(pids);
    cost.cpu_ns -= begin->cpu_ns;
    cost.sleeps -= begin->sleeps;
    return cost;
}
