/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif
#include "accept/greeting.h"

#include "base/span.h"

#include <stdio.h>

void greeting_begin(struct greeting *greeting, uint32_t uid)
{
    char decimal[11];
    *greeting = (struct greeting){.state = GREETING_WAITING_FOR_NUL};
    int n = snprintf(decimal, sizeof(decimal), "%u", uid);
    for (int i = 0; i < n; i++)
        snprintf(greeting->identity + 2 * i, 3, "%02x", (unsigned)decimal[i]);
}

static void greeting_say(struct greeting_answer *answer, const char *text, const char *more)
{
    int n = snprintf(answer->text + answer->size, GREETING_ANSWER - answer->size, "%s%s\r\n", text, more);
    answer->size += (size_t)n;
}

/* True if the line is this command with this argument. */
static bool is(struct span line, struct span command, const char *argument)
{
    struct span rest = span_of(argument);
    return line.n == command.n + rest.n && span_starts(line, command) &&
           memcmp(line.s + command.n, rest.s, rest.n) == 0;
}

static bool hear_auth(struct greeting *greeting, struct span line, const char *guid,
                      struct greeting_answer *answer)
{
    if (span_equal(line, SPAN("AUTH EXTERNAL"))) {
        greeting->state = GREETING_WAITING_FOR_DATA;
        greeting_say(answer, "DATA", "");
        return true;
    }
    greeting->state = GREETING_WAITING_FOR_BEGIN;
    greeting_say(answer, "OK ", guid);
    return is(line, SPAN("AUTH EXTERNAL "), greeting->identity);
}

static bool hear_data(struct greeting *greeting, struct span line, const char *guid,
                      struct greeting_answer *answer)
{
    greeting->state = GREETING_WAITING_FOR_BEGIN;
    greeting_say(answer, "OK ", guid);
    return span_equal(line, SPAN("DATA")) || is(line, SPAN("DATA "), greeting->identity);
}

static bool hear_negotiation(struct greeting *greeting, struct span line, const char *guid,
                             struct greeting_answer *answer)
{
    (void)guid;
    if (greeting->fd_passing || !span_equal(line, SPAN("NEGOTIATE_UNIX_FD")))
        return false;
    greeting->fd_passing = true;
    greeting_say(answer, "AGREE_UNIX_FD", "");
    return true;
}

static bool (*const hearers[GREETING_STATES])(struct greeting *greeting, struct span line, const char *guid,
                                              struct greeting_answer *answer) = {
    [GREETING_WAITING_FOR_AUTH] = hear_auth,
    [GREETING_WAITING_FOR_DATA] = hear_data,
    [GREETING_WAITING_FOR_BEGIN] = hear_negotiation,
};

enum greeting_result greeting_hear(struct greeting *greeting, const char *guid, const uint8_t *text,
                                   size_t size, struct greeting_answer *answer)
{
    answer->size = 0;
    if (greeting->state == GREETING_WAITING_FOR_NUL && size > 0) {
        if (text[0] != 0)
            return GREETING_UNUSUAL;
        greeting->state = GREETING_WAITING_FOR_AUTH;
        greeting->at = 1;
    }
    while (greeting->at < size) {
        const char *begin = (const char *)text + greeting->at;
        const char *end = memmem(begin, size - greeting->at, "\r\n", 2);
        if ((end ? (size_t)(end - begin) : size - greeting->at) > GREETING_LINE)
            return GREETING_UNUSUAL;
        if (!end)
            break;
        struct span line = {begin, (uint32_t)(end - begin)};
        if (greeting->state == GREETING_WAITING_FOR_BEGIN && span_equal(line, SPAN("BEGIN"))) {
            greeting->at += line.n + 2;
            return GREETING_OVER;
        }
        if (!hearers[greeting->state](greeting, line, guid, answer))
            return GREETING_UNUSUAL;
        greeting->at += line.n + 2;
    }
    return GREETING_GOES_ON;
}
