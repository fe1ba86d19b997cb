/* SPDX-License-Identifier: MIT */
#include "api/command.h"

#include "send/listeners.h"
#include "send/say.h"
#include "state/group_ops.h"

static struct span owner_span(const struct peer *peer)
{
    return peer ? peer->unique : SPAN("");
}

/*
 * Sends the signals of a change before it is made, as the reference does: monitors identify the receivers by
 * the names of that moment.
 */
static void say_handover(struct bus *bus, struct span name, struct peer *old, struct peer *new)
{
    if (old)
        say_name_lost(bus, old, name);
    say_owner_changed(bus, name, owner_span(old), owner_span(new));
    if (new)
        say_name_acquired(bus, new, name);
}

/* Fills the queue entries with the peers that still exist, and frees the other entries. */
static void take_places(struct bus *bus, struct command *command)
{
    const uint8_t *at_id = command->body;
    LIST_FOR_SAFE (at, after, &command->name->queue) {
        struct queue_entry *entry = CONTAINER_OF(at, struct queue_entry, in_name);
        uint64_t id;
        memcpy(&id, at_id, sizeof(id));
        at_id += sizeof(id);
        entry->peer = bus_peer(bus, id);
        if (entry->peer)
            continue;
        list_unlink(at);
        free(entry);
    }
}

void apply_set_queue(struct bus *bus, struct command *command)
{
    struct span text = command->text[0];
    take_places(bus, command);
    struct peer *old = name_owner(registry_find(&bus->registry, text));
    struct peer *new = name_owner(command->name);
    if (old != new)
        say_handover(bus, text, old, new);
    registry_state(&bus->registry, command->name);
    command->name = NULL;
    if (old != new)
        listeners_name_changed(bus, text);
    GROUP_CALL(bus, name_changed, bus, text, old != new ? old : NULL);
}

void apply_leave_queue(struct bus *bus, struct command *command)
{
    struct span text = command->text[0];
    struct peer *peer = bus_peer(bus, command->id);
    struct name *name = registry_find(&bus->registry, text);
    if (!peer || !name)
        return;
    bool owner = name_owner(name) == peer;
    if (owner)
        say_handover(bus, text, peer, name_second(name));
    registry_leave_queue(&bus->registry, name, peer);
    if (owner)
        listeners_name_changed(bus, text);
    GROUP_CALL(bus, name_changed, bus, text, owner ? peer : NULL);
}
