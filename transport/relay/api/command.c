/* SPDX-License-Identifier: MIT */
#include "api/command.h"

#include "accept/door.h"
#include "base/clock.h"
#include "mediation/mediation.h"
#include "send/monitor.h"

#include <unistd.h>

#define COMMAND_STEPS 8 /* between readings of the clock */

struct command *command_new(enum command_kind kind, uint64_t id, const char *const texts[COMMAND_TEXTS],
                            const void *body, size_t size)
{
    size_t total = size;
    for (uint32_t i = 0; texts && i < COMMAND_TEXTS; i++)
        total += texts[i] ? strlen(texts[i]) + 1 : 0;
    struct command *command = calloc(1, sizeof(*command) + total);
    if (!command)
        return NULL;
    command->kind = kind;
    command->id = id;
    uint8_t *to = command->data;
    if (body)
        memcpy(to, body, size);
    command->body = to;
    command->size = size;
    to += size;
    for (uint32_t i = 0; texts && i < COMMAND_TEXTS; i++) {
        if (!texts[i])
            continue;
        command->text[i] = (struct span){(char *)to, (uint32_t)strlen(texts[i])};
        memcpy(to, texts[i], command->text[i].n + 1);
        to += command->text[i].n + 1;
    }
    return command;
}

struct command *command_new_answered(enum command_kind kind, uint64_t id,
                                     const char *const texts[COMMAND_TEXTS], const void *body, size_t size,
                                     size_t room)
{
    struct command *command = command_new(kind, id, texts, body, size);
    struct event *answer = calloc(1, sizeof(*answer) + room);
    if (!command || !answer) {
        free(command);
        free(answer);
        return NULL;
    }
    command->answer = answer;
    return command;
}

void command_free(struct command *command)
{
    switch (command->kind) {
    case COMMAND_LOAD_POLICY:
        policy_free(command->policy);
        break;
    case COMMAND_MEDIATE:
        mediation_free(command->mediation);
        break;
    case COMMAND_SET_TEXTS:
        mediation_texts_free(command->texts);
        break;
    case COMMAND_LISTEN:
        door_free(command->door);
        break;
    case COMMAND_ATTACH:
        peer_free(command->attach.peer);
        break;
    case COMMAND_SET_QUEUE:
        name_free(command->name);
        break;
    case COMMAND_SET_CATALOG:
        catalog_free(command->catalog);
        break;
    case COMMAND_BECOME_MONITOR:
        monitor_free(command->monitor);
        break;
    case COMMAND_BEGIN_GROUP:
        if (command->group.fd >= 0)
            close(command->group.fd);
        break;
    default:
        break;
    }
    free(command->answer);
    free(command);
}

void command_batch_free(struct command_batch *batch)
{
    while (batch && batch->first) {
        struct command *command = batch->first;
        batch->first = command->next;
        command_free(command);
    }
    free(batch);
}

bool command_batch_apply(struct bus *bus, struct command_batch *batch, int64_t end)
{
    for (uint32_t n = 1; batch->first; n++) {
        struct command *command = batch->first;
        command_apply(bus, command);
        batch->first = command->next;
        command_free(command);
        if (n % COMMAND_STEPS == 0 && batch->first && clock_microseconds() >= end)
            return false;
    }
    command_batch_free(batch);
    return true;
}
