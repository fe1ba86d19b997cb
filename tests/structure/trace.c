/* SPDX-License-Identifier: MIT */

/*
 * What the traced objects of the data plane call at the beginning and the end of each function: it notes
 * where the function begins, counted from where the library is loaded, so that addr2line can name it, and 0
 * for an end.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_MAX 65536u

extern const char __ehdr_start __attribute__((visibility("hidden")));

bool trace_on;
uint32_t trace_n;
uint64_t trace[TRACE_MAX];

static void note(uint64_t where)
{
    if (trace_on && trace_n < TRACE_MAX)
        trace[trace_n++] = where;
}

void __cyg_profile_func_enter(void *function, void *caller);
void __cyg_profile_func_exit(void *function, void *caller);

void __cyg_profile_func_enter(void *function, void *caller)
{
    (void)caller;
    note((uint64_t)((uintptr_t)function - (uintptr_t)&__ehdr_start));
}

void __cyg_profile_func_exit(void *function, void *caller)
{
    (void)function;
    (void)caller;
    note(0);
}
