/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif
#include "accept/sasl_fast.h"

#include "base/span.h"

#include <stdio.h>

void sasl_fast_begin(struct sasl_fast *sasl, uint32_t uid, bool only_external)
{
    char decimal[11];
    *sasl = (struct sasl_fast){.state = SASL_FAST_WAITING_FOR_NUL, .only_external = only_external};
    int n = snprintf(decimal, sizeof(decimal), "%u", uid);
    for (int i = 0; i < n; i++)
        snprintf(sasl->identity + 2 * i, 3, "%02x", (unsigned)decimal[i]);
}

static void sasl_fast_say(struct sasl_fast_answer *answer, const char *text, const char *more)
{
    int n = snprintf(answer->text + answer->size, SASL_FAST_ANSWER - answer->size, "%s%s\r\n", text, more);
    answer->size += (size_t)n;
}

/* True if the line is this command with this argument. */
static bool is(struct span line, struct span command, const char *argument)
{
    struct span rest = span_of(argument);
    return line.n == command.n + rest.n && span_starts(line, command) &&
           memcmp(line.s + command.n, rest.s, rest.n) == 0;
}

static bool hear_auth(struct sasl_fast *sasl, struct span line, const char *guid,
                      struct sasl_fast_answer *answer)
{
    if (sasl->only_external && !sasl->asked && span_equal(line, SPAN("AUTH"))) {
        sasl->asked = true;
        sasl_fast_say(answer, "REJECTED EXTERNAL", "");
        return true;
    }
    if (span_equal(line, SPAN("AUTH EXTERNAL"))) {
        sasl->state = SASL_FAST_WAITING_FOR_DATA;
        sasl_fast_say(answer, "DATA", "");
        return true;
    }
    sasl->state = SASL_FAST_WAITING_FOR_BEGIN;
    sasl_fast_say(answer, "OK ", guid);
    return is(line, SPAN("AUTH EXTERNAL "), sasl->identity);
}

static bool hear_data(struct sasl_fast *sasl, struct span line, const char *guid,
                      struct sasl_fast_answer *answer)
{
    sasl->state = SASL_FAST_WAITING_FOR_BEGIN;
    sasl_fast_say(answer, "OK ", guid);
    return span_equal(line, SPAN("DATA")) || is(line, SPAN("DATA "), sasl->identity);
}

static bool hear_negotiation(struct sasl_fast *sasl, struct span line, const char *guid,
                             struct sasl_fast_answer *answer)
{
    (void)guid;
    if (sasl->fd_passing || !span_equal(line, SPAN("NEGOTIATE_UNIX_FD")))
        return false;
    sasl->fd_passing = true;
    sasl_fast_say(answer, "AGREE_UNIX_FD", "");
    return true;
}

static bool (*const hearers[SASL_FAST_STATES])(struct sasl_fast *sasl, struct span line, const char *guid,
                                               struct sasl_fast_answer *answer) = {
    [SASL_FAST_WAITING_FOR_AUTH] = hear_auth,
    [SASL_FAST_WAITING_FOR_DATA] = hear_data,
    [SASL_FAST_WAITING_FOR_BEGIN] = hear_negotiation,
};

enum sasl_fast_result sasl_fast_hear(struct sasl_fast *sasl, const char *guid, const uint8_t *text,
                                     size_t size, struct sasl_fast_answer *answer)
{
    answer->size = 0;
    if (sasl->state == SASL_FAST_WAITING_FOR_NUL && size > 0) {
        if (text[0] != 0)
            return SASL_FAST_UNUSUAL;
        sasl->state = SASL_FAST_WAITING_FOR_AUTH;
        sasl->at = 1;
    }
    while (sasl->at < size) {
        const char *begin = (const char *)text + sasl->at;
        const char *end = memmem(begin, size - sasl->at, "\r\n", 2);
        if ((end ? (size_t)(end - begin) : size - sasl->at) > SASL_FAST_LINE)
            return SASL_FAST_UNUSUAL;
        if (!end)
            break;
        struct span line = {begin, (uint32_t)(end - begin)};
        if (sasl->state == SASL_FAST_WAITING_FOR_BEGIN && span_equal(line, SPAN("BEGIN"))) {
            sasl->at += line.n + 2;
            return SASL_FAST_OVER;
        }
        if (!hearers[sasl->state](sasl, line, guid, answer))
            return SASL_FAST_UNUSUAL;
        sasl->at += line.n + 2;
    }
    return SASL_FAST_GOES_ON;
}
