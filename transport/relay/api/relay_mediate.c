/* SPDX-License-Identifier: MIT */
#include "api/relay_mediate.h"

#include "api/relay_internal.h"
#include "mediation/audit_right.h"
#include "mediation/mediation.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int relay_mediate(struct relay *relay, uint32_t modules, const char *bus_type, char *why, size_t why_size)
{
    struct mediation *mediation;
    int error = mediation_new(&mediation, modules, bus_type, why, why_size);
    if (error < 0)
        return error;
    struct command *command = command_new(COMMAND_MEDIATE, 0, NULL, NULL, 0);
    if (command)
        command->mediation = mediation;
    else
        mediation_free(mediation);
    error = relay_push(relay, command);
    if (error < 0)
        snprintf(why, why_size, "%s", strerror(-error));
    else
        relay->mediated = modules;
    return error;
}

uint32_t relay_mediated(struct relay *relay)
{
    return relay->mediated;
}

int relay_set_texts(struct relay *relay, uint32_t kind, const uint8_t *body, size_t size)
{
    struct mediation_texts *texts = calloc(1, sizeof(*texts));
    int error = texts ? mediation_set_texts(texts, body, size) : -ENOMEM;
    struct command *command = error == 0 ? command_new(COMMAND_SET_TEXTS, kind, NULL, NULL, 0) : NULL;
    if (!command) {
        mediation_texts_free(texts);
        return error < 0 ? error : -ENOMEM;
    }
    command->texts = texts;
    return relay_push(relay, command);
}

int relay_explain(struct relay *relay, const struct relay_question *q)
{
    const char *const texts[COMMAND_TEXTS] = {q->destination, q->path, q->interface, q->member,
                                              q->error_name};
    struct command *command = command_new_answered(COMMAND_EXPLAIN, q->sender, texts, NULL, 0, 0);
    if (!command)
        return -ENOMEM;
    command->explain.recipient = q->recipient;
    command->explain.type = q->type;
    command->explain.requested = q->requested;
    return relay_push(relay, command);
}

int relay_audit_right(uint32_t step)
{
    switch (step) {
    case RELAY_AUDIT_KEEP:
        return audit_right_keep();
    case RELAY_AUDIT_SETTLE:
        return audit_right_settle();
    case RELAY_AUDIT_PASS:
        audit_right_pass();
        return 0;
    default:
        audit_right_hold();
        return 0;
    }
}
