/* SPDX-License-Identifier: MIT */
#include "state/users.h"

#include "state/report.h"

struct user *user_find(const struct bus *bus, uint32_t uid)
{
    struct table_node *node = table_first(&bus->users, hash_number(&bus->users.key, uid));
    for (; node; node = table_again(node)) {
        struct user *user = CONTAINER_OF(node, struct user, node);
        if (user->uid == uid)
            return user;
    }
    return NULL;
}

struct user *user_take(struct bus *bus, uint32_t uid)
{
    struct user *user = user_find(bus, uid);
    if (!user && (user = calloc(1, sizeof(*user)))) {
        user->uid = uid;
        table_insert(&bus->users, &user->node, hash_number(&bus->users.key, uid));
    }
    if (user)
        user->references++;
    return user;
}

void user_release(struct bus *bus, struct user *user)
{
    if (!user || --user->references > 0)
        return;
    table_remove(&bus->users, &user->node);
    free(user);
}

void users_free(struct bus *bus)
{
    struct table_node *node;
    while (bus->users.buckets && (node = table_any(&bus->users))) {
        struct user *user = CONTAINER_OF(node, struct user, node);
        table_remove(&bus->users, node);
        reports_free(user);
        free(user);
    }
    table_free(&bus->users);
}
