/* SPDX-License-Identifier: MIT */
#include "api/command.h"
#include "api/export.h"
#include "send/mediate.h"

static void export_opinion(struct json *json, const struct mediation_opinion *opinion)
{
    json_open(json, '{');
    json_put_string(json, "module", span_of(opinion->module));
    json_put_string(json, "permission", span_of(opinion->permission));
    if (opinion->subject.s)
        json_put_string(json, "label", opinion->subject);
    if (opinion->object.s)
        json_put_string(json, "peer_label", opinion->object);
    json_put_boolean(json, "allowed", opinion->allow);
    if (opinion->error)
        json_put_string(json, "error", span_of(strerror(opinion->error)));
    json_close(json, '}');
}

static uint32_t export_question(const struct bus *bus, const struct command *command,
                                struct mediation_opinion opinions[MEDIATION_OPINIONS])
{
    const struct span *text = command->text;
    /* a name is asked for by a call */
    const bool owns = command->explain.type == 0;
    const struct message m = {
        .type = owns ? MESSAGE_METHOD_CALL : (uint8_t)command->explain.type,
        .destination = text[0],
        .path = text[1],
        .interface = text[2],
        .member = text[3],
        .error_name = text[4],
    };
    const struct policy_case c = {.m = &m,
                                  .sender = bus_peer(bus, command->id),
                                  .recipient = bus_peer(bus, command->explain.recipient),
                                  .requested_reply = command->explain.requested};
    if (!bus->mediation)
        return 0;
    return mediate_explain(bus, &c, owns ? text[0] : (struct span){0}, opinions);
}

void export_mediation(struct bus *bus, const struct command *command)
{
    struct mediation_opinion opinions[MEDIATION_OPINIONS];
    struct json json = {0};
    const uint32_t n = export_question(bus, command, opinions);
    json_open(&json, '[');
    for (uint32_t i = 0; i < n; i++)
        export_opinion(&json, &opinions[i]);
    json_close(&json, ']');
    export_push(bus, RELAY_EXPORT_MEDIATION, &json, command->answer);
}
