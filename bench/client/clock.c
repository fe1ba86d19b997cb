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

uint64_t clock_cpu(const struct pids *pids)
{
    uint64_t sum = 0;
    for (int i = 0; i < pids->n; i++) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/task", pids->pid[i]);
        DIR *tasks = opendir(path);
        if (!tasks)
            die("no process %d", pids->pid[i]);
        for (struct dirent *entry; (entry = readdir(tasks));)
            if (entry->d_name[0] != '.')
                sum += thread_time(pids->pid[i], entry->d_name);
        closedir(tasks);
    }
    return sum;
}
