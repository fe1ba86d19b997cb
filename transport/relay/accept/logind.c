/* SPDX-License-Identifier: MIT */
#include "api/relay.h"

#include "base/span.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define CONSOLE_SIZE 4096u /* limit of what is read; a user with many sessions has a few hundred bytes */

static const char *skip(const char *at, const char *characters)
{
    return at + strspn(at, characters);
}

/* ONLINE_SEATS=seat0 ... lists the seats of sessions that are not closing. */
static bool has_seat(const char *line)
{
    struct span name = SPAN("ONLINE_SEATS=");
    line = skip(line, " \t");
    if (strncmp(line, name.s, name.n) != 0)
        return false;
    line = skip(line + name.n, "\" \t\r");
    return *line != '\n' && *line != '\0';
}

_Bool relay_at_console(const char *users, uint32_t uid)
{
    char path[128], text[CONSOLE_SIZE + 1];
    snprintf(path, sizeof(path), "%s/%u", users, uid);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, CONSOLE_SIZE);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line = skip(line, "\n");
        if (has_seat(line))
            return true;
    }
    return false;
}
