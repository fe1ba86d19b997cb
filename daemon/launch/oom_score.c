/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "oom_score.h"

#include <fcntl.h>
#include <unistd.h>

void oom_score_reset(void)
{
    char sign = 0;
    int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    if (read(fd, &sign, 1) == 1 && sign == '-' && pwrite(fd, "0", 1, 0) < 0)
        sign = 0;
    close(fd);
}
