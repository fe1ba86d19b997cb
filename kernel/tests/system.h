/* SPDX-License-Identifier: GPL-2.0 */
/* What tests read from the system and set there, beside the module. */
#ifndef UMC_TESTS_SYSTEM_H
#define UMC_TESTS_SYSTEM_H

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static inline double seconds(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/* Writes a text to a file of the kernel's; false: there is none, or it refuses. */
static inline bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return done;
}

#endif
