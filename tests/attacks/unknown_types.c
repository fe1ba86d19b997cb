/* SPDX-License-Identifier: MIT */
#include "attack.h"

#include <unistd.h>

#define FDS 16
#define EACH 4

/* Messages of unknown types with descriptors to --name, from --count connections, one after the other; the
 * last stays connected. */
void unknown_types(void *argument)
{
    static const uint8_t types[] = {5, 77, 128, 255};
    struct connection c = {0};
    struct buffer out = {0};
    (void)argument;
    hostile_set_uid();
    process_ready();
    for (int i = 0; i < attack_options.count; i++) {
        attack_join(&c);
        for (int k = 0; k < EACH; k++) {
            out.size = 0;
            put_message(
                &out,
                &(struct header){.type = CALL,
                                 .path = ATTACK_PATH,
                                 .interface = ATTACK_INTERFACE,
                                 .member = "Odd",
                                 .destination = attack_options.name ? attack_options.name : "org.example.Odd",
                                 .unix_fds = FDS},
                NULL);
            out.data[1] = types[(i + k) % (int)sizeof(types)];
            attack_pour_fds(&c, &out, FDS);
            atomic_fetch_add(&shared->harm, 1);
        }
        bool last = i == attack_options.count - 1;
        if (connection_try(&c, attack_sync) && !last)
            connection_close(&c);
    }
    pause();
}
