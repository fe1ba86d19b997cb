/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_NAMES_H
#define FUZZ_NAMES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The well-known names by their numbers: some that clients contend for, the services, and one for each slot,
 * which only its clients request. services.py writes service files for the services.
 */
#define NAMES_SHARED 8u
#define NAMES_SERVICES 6u
#define NAMES_SLOTS 64u
#define NAMES (NAMES_SHARED + NAMES_SERVICES + NAMES_SLOTS)
#define NAME_TEXT 32u

enum service { SERVICE_STARTS, SERVICE_DIES, SERVICE_FAILS, SERVICE_MISSING, SERVICE_SLEEPS, SERVICE_DENIED };

static inline void name_text(uint32_t number, char text[NAME_TEXT])
{
    static const char *const services[NAMES_SERVICES] = {"Starts",  "Dies",   "Fails",
                                                         "Missing", "Sleeps", "Denied"};
    if (number < NAMES_SHARED)
        snprintf(text, NAME_TEXT, "fuzz.shared.n%u", number);
    else if (number < NAMES_SHARED + NAMES_SERVICES)
        snprintf(text, NAME_TEXT, "fuzz.service.%s", services[number - NAMES_SHARED]);
    else
        snprintf(text, NAME_TEXT, "fuzz.own.c%u", number - NAMES_SHARED - NAMES_SERVICES);
}

static inline uint32_t name_of_slot(uint32_t slot)
{
    return NAMES_SHARED + NAMES_SERVICES + slot;
}

static inline bool name_is_service(uint32_t number)
{
    return number >= NAMES_SHARED && number < NAMES_SHARED + NAMES_SERVICES;
}

/* UINT32_MAX: none of them. */
static inline uint32_t name_number(const char *text)
{
    char known[NAME_TEXT];
    if (strncmp(text, "fuzz.", 5) != 0)
        return UINT32_MAX;
    for (uint32_t i = 0; i < NAMES; i++) {
        name_text(i, known);
        if (strcmp(text, known) == 0)
            return i;
    }
    return UINT32_MAX;
}

#endif
