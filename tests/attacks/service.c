/* SPDX-License-Identifier: MIT */
#include "attack.h"

#include <stdlib.h>

/* Answers every call with an empty reply, until the bus closes the connection. */
void service_run(const char *name)
{
    struct connection c = {0};
    struct buffer out = {0}, body = {0};
    struct message m;
    options.address = getenv("DBUS_STARTER_ADDRESS");
    connection_open(&c);
    buffer_string(&body, name);
    buffer_u32(&body, 0);
    put_driver_call(&out, "RequestName", "su", &body); /* calls may arrive before its reply */
    connection_send(&c, out.data, out.size);
    for (;;) {
        connection_next(&c, &m);
        if (m.type != CALL || m.flags & NO_REPLY)
            continue;
        out.size = 0;
        put_message(&out, &(struct header){.type = RETURN, .reply_serial = m.serial, .destination = m.sender},
                    NULL);
        connection_send(&c, out.data, out.size);
    }
}
