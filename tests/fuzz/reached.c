/* SPDX-License-Identifier: MIT */
#include "reached.h"

#include <stdio.h>
#include <string.h>

uint64_t reached[REACHED_KINDS];

static const char *const names[] = {
#define REACHED_NAME(name, text) text,
    REACHED(REACHED_NAME)
#undef REACHED_NAME
};

/* The last part of the error's name, a part of its text ("": any), and the state it shows; the first match
 * counts.
 */
static const struct {
    const char *name, *text;
    enum reached kind;
} errors[] = {
    {"LimitsExceeded", "full message queue", REACHED_FULL_QUEUE},
    {"LimitsExceeded", "pending replies", REACHED_TOO_MANY_REPLIES},
    {"LimitsExceeded", "match rules", REACHED_TOO_MANY_RULES},
    {"LimitsExceeded", "max_names_per_connection", REACHED_TOO_MANY_NAMES},
    {"LimitsExceeded", "names", REACHED_TOO_MANY_NAMES},
    {"LimitsExceeded", "activations", REACHED_TOO_MANY_STARTS},
    {"LimitsExceeded", "", REACHED_OTHER_LIMIT},
    {"AccessDenied", "", REACHED_DENIED},
    {"NotSupported", "", REACHED_NO_FDS},
    {"NoReply", "", REACHED_NO_REPLY},
    {"ServiceUnknown", "", REACHED_UNKNOWN_NAME},
    {"NameHasNoOwner", "", REACHED_UNKNOWN_NAME},
    {"TimedOut", "", REACHED_START_TIMED_OUT},
    {"Spawn.", "", REACHED_START_FAILED},
    {"", "", REACHED_OTHER_ERROR},
};

void reached_error(const char *name, const char *text)
{
    size_t i = 0;
    while (!strstr(name, errors[i].name) || !strstr(text, errors[i].text))
        i++;
    reached[errors[i].kind]++;
}

void reached_print(uint64_t rounds, uint64_t memory)
{
    printf("{\"rounds\": %llu, \"memory\": %llu", (unsigned long long)rounds, (unsigned long long)memory);
    for (int i = 0; i < REACHED_KINDS; i++)
        printf(", \"%s\": %llu", names[i], (unsigned long long)reached[i]);
    printf("}\n");
    fflush(stdout);
}
