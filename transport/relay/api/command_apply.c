/* SPDX-License-Identifier: MIT */
#include "api/command.h"

#include "accept/admit.h"
#include "accept/door.h"
#include "accept/hello.h"
#include "accept/incomplete.h"
#include "accept/leave.h"
#include "api/export.h"
#include "resume/resume.h"
#include "route/route.h"
#include "send/mediate.h"
#include "send/monitor.h"
#include "send/output.h"
#include "send/say.h"
#include "state/group_ops.h"
#include "state/inbox.h"
#include "state/log.h"
#include "state/report.h"

static void apply_set_limits(struct bus *bus, struct command *command)
{
    memcpy(&bus->limits, command->body, sizeof(bus->limits));
    if (bus->limits.max_message_size > MESSAGE_MAX_SIZE)
        bus->limits.max_message_size = MESSAGE_MAX_SIZE;
    GROUP_CALL(bus, limits_changed, bus);
}

/* As the reference does with each policy; under the one before it may not have been looked up. */
static void look_at_console(struct bus *bus)
{
    struct table_node *node = NULL;
    while ((node = table_walk(&bus->peers, node))) {
        struct peer *peer = CONTAINER_OF(node, struct peer, node);
        peer->credentials.at_console = admit_at_console(bus, peer->credentials.uid);
    }
}

static void apply_load_policy(struct bus *bus, struct command *command)
{
    struct policy *old = bus->policy;
    bus->policy = command->policy;
    bus->policy->generation = old->generation + 1;
    command->policy = old;
    if (bus->policy->asks_console)
        look_at_console(bus);
    GROUP_CALL(bus, policy_changed, bus);
}

static void apply_mediate(struct bus *bus, struct command *command)
{
    int error = mediate_with(bus, command->mediation);
    command->mediation = NULL;
    if (error < 0)
        log_line(bus, LOG_ERR, "Changes of security policies are not seen: %s", strerror(-error));
}

static void apply_set_texts(struct bus *bus, struct command *command)
{
    if (!bus->mediation)
        return;
    struct mediation_texts *to =
        command->id == MEDIATION_LABELS ? &bus->mediation->labels : &bus->mediation->contexts;
    const struct mediation_texts old = *to;
    *to = *command->texts;
    *command->texts = old;
}

static void apply_attach(struct bus *bus, struct command *command)
{
    struct peer *peer = command->attach.peer;
    command->attach.peer = NULL;
    peer->input.readable = true;
    incomplete_add(bus, &peer->incomplete, command->attach.began);
    bus_attach(bus, peer, false);
}

static void apply_listen(struct bus *bus, struct command *command)
{
    door_open(bus, command->door);
    command->door = NULL;
}

static void apply_shut(struct bus *bus, struct command *command)
{
    doors_close(bus, command->door_number);
}

static void apply_stop_listening(struct bus *bus, struct command *command)
{
    (void)command;
    doors_shut(bus);
}

static void apply_settled(struct bus *bus, struct command *command)
{
    (void)command;
    incomplete_above(bus, -1);
}

/* Ends the calls of a peer that becomes a monitor: it neither answers nor is answered. */
static void begin_watching(struct bus *bus, struct peer *peer)
{
    monitor_watch(bus, peer);
    leave_settle(bus, peer);
}

static void end_call(struct bus *bus, struct peer *peer)
{
    if (!peer->calls.held)
        return;
    peer_end_call(peer);
    report_end_event(bus, peer, &peer->reports.call);
    if (peer->calls.about)
        registry_hand_back(&bus->registry, peer->calls.about);
    peer->calls.about = NULL;
}

/* Resumes a sender after the answer to the message that it was stopped for. */
static void resume(struct bus *bus, struct peer *peer)
{
    if (peer->calls.held)
        route_answered(bus, peer);
    end_call(bus, peer);
    peer->calls.stopped = false;
    if (peer->monitor && !peer->monitor->watching && !peer_is_gone(peer))
        begin_watching(bus, peer);
    inbox_resume(bus, peer);
}

static void apply_resume(struct bus *bus, struct command *command)
{
    struct peer *peer = bus_peer(bus, command->id);
    if (peer)
        resume(bus, peer);
}

static void show_call(struct bus *bus, struct peer *peer)
{
    if (peer->calls.held)
        monitor_late(bus, peer, &peer->calls.held->m, peer->calls.held->fds);
}

static void apply_welcome(struct bus *bus, struct command *command)
{
    struct peer *peer = bus_peer(bus, command->id);
    if (!peer)
        return;
    if (!peer_is_gone(peer))
        hello_welcome(bus, peer, command->serial);
    resume(bus, peer);
}

static void apply_reply(struct bus *bus, struct command *command)
{
    struct peer *peer = bus_peer(bus, command->id);
    if (!peer)
        return;
    show_call(bus, peer);
    marshal_raw(say_reply(bus, peer, command->serial, command->text[0], 0), command->body, command->size);
    bool valid = say_end_checked(bus, peer, NULL);
    const struct held *held = peer->calls.held;
    if (valid && command->constant && held && held->m.serial == command->serial)
        prepared_add(&bus->prepared, &held->m, command->text[0], command->body, command->size);
}

static void apply_name_instances(struct bus *bus, struct command *command)
{
    struct peer *peer = bus_peer(bus, command->id);
    if (!peer)
        return;
    peer->names_instances = true;
    peer->listener = -1; /* the kernel writes no such field, so it may not join a group later */
}

static void apply_error(struct bus *bus, struct command *command)
{
    struct peer *peer = bus_peer(bus, command->id);
    if (!peer)
        return;
    show_call(bus, peer);
    say_error(bus, peer, command->serial, command->text[0].s, command->text[1].s);
}

static void apply_signal(struct bus *bus, struct command *command)
{
    struct peer *peer = NULL;
    if (command->id != UINT64_MAX) {
        peer = bus_peer(bus, command->id);
        if (!peer || peer_is_gone(peer))
            return;
    }
    struct marshal *w =
        say_signal(bus, peer, command->text[0], command->text[1], command->text[2], command->text[3]);
    marshal_raw(w, command->body, command->size);
    say_end_checked(bus, peer, NULL);
}

static void apply_send(struct bus *bus, struct command *command)
{
    struct peer *peer = bus_find(bus, command->text[4]);
    if (peer && peer_is_gone(peer))
        peer = NULL;
    struct marshal_header header = {.type = command->send.type,
                                    .serial = command->serial,
                                    .path = command->text[0],
                                    .interface = command->text[1],
                                    .member = command->text[2],
                                    .signature = command->text[3],
                                    .destination = command->text[4]};
    if (peer && command->serial)
        peer->calls.asked = command->serial;
    marshal_raw(say_begin(bus, &header, NULL), command->body, command->size);
    say_end_as(bus, peer, command->send.audience);
}

static void apply_become_monitor(struct bus *bus, struct command *command)
{
    struct peer *peer = bus_peer(bus, command->id);
    if (!peer || peer_is_gone(peer) || peer->monitor)
        return;
    if (command->serial) {
        say_reply(bus, peer, command->serial, (struct span){0}, 0);
        say_end(bus, peer);
    }
    if (monitor_begin(bus, peer, command->monitor) < 0) {
        output_close(bus, peer, RELAY_GONE_MEMORY);
        return;
    }
    command->monitor = NULL;
    registry_give_up(&bus->registry, peer);
    say_name_lost(bus, peer, peer->unique);
    say_owner_changed(bus, peer->unique, peer->unique, SPAN(""));
}

static void apply_show(struct bus *bus, struct command *command)
{
    struct parked *parked = parking_find(&bus->parking, command->id);
    if (parked)
        route_begun(bus, parked);
}

static void apply_deliver(struct bus *bus, struct command *command)
{
    struct parked *parked = parking_find(&bus->parking, command->id);
    if (parked)
        route_parked(bus, parked);
}

static void apply_reject(struct bus *bus, struct command *command)
{
    struct parked *parked = parking_find(&bus->parking, command->id);
    if (parked)
        route_reject(bus, parked, command->text[0].s, command->text[1].s);
}

static void apply_disconnect(struct bus *bus, struct command *command)
{
    struct peer *peer = bus_peer(bus, command->id);
    if (peer && !peer_is_gone(peer))
        output_close(bus, peer, RELAY_GONE_DISCONNECTED);
}

static void apply_forget(struct bus *bus, struct command *command)
{
    struct peer *peer = bus_peer(bus, command->id);
    if (!peer || !peer_is_gone(peer))
        return;
    end_call(bus, peer);
    report_end_event(bus, peer, &peer->reports.gone);
    peer->reports.announced = false; /* so that no LEFT is pushed: the control plane knows */
    leave_forget(bus, peer);
}

static void apply_export(struct bus *bus, struct command *command)
{
    size_t n = command->size / sizeof(uint64_t);
    export_table(bus, command->export, command->body, n, command->answer);
    command->answer = NULL;
}

static void apply_explain(struct bus *bus, struct command *command)
{
    export_mediation(bus, command);
    command->answer = NULL;
}

static void apply_taken(struct bus *bus, struct command *command)
{
    bus->n_log -= command->n_log;
    for (size_t at = 0; at < command->size; at += sizeof(struct command_taken)) {
        struct command_taken taken;
        memcpy(&taken, command->body + at, sizeof(taken));
        report_end(bus, bus_peer(bus, taken.peer), taken.user);
    }
}

static void apply_await_name(struct bus *bus, struct command *command)
{
    struct handed *handed = registry_handed(&bus->registry, command->text[0]);
    bool awaited = command->awaited;
    if ((handed && handed->awaited) == awaited || !name_is_well_known(command->text[0]))
        return;
    if (!awaited) {
        handed->awaited = false;
        registry_hand_back(&bus->registry, handed);
    } else if ((handed = registry_hand_up(&bus->registry, command->text[0]))) {
        handed->awaited = true;
        events_hurry(bus->events); /* the name may have changed just before */
    } else {
        log_memory(bus, "to await", command->text[0].s);
    }
}

static void apply_count_starts(struct bus *bus, struct command *command)
{
    bus->parking.n_starting = command->n_starts;
}

static void apply_set_catalog(struct bus *bus, struct command *command)
{
    struct catalog *old = bus->catalog;
    bus->catalog = command->catalog;
    command->catalog = old;
}

static void apply_begin_group(struct bus *bus, struct command *command)
{
    if (bus->group_ops)
        return;
    int fd = command->group.fd;
    command->group.fd = -1;
    int error = command->group.begin(bus, fd, command->group.max_members, command->group.trust_everybody);
    if (error < 0)
        log_line(bus, LOG_WARNING, "The group can't be used: %s; all messages go through the relay",
                 strerror(-error));
}

static void apply_dissolve_group(struct bus *bus, struct command *command)
{
    (void)command;
    GROUP_CALL(bus, dissolve, bus);
}

static void apply_freeze(struct bus *bus, struct command *command)
{
    freeze(bus, command->answer);
    command->answer = NULL;
}

static void apply_thaw(struct bus *bus, struct command *command)
{
    (void)command;
    freeze_end(bus);
}

static void apply_dump(struct bus *bus, struct command *command)
{
    struct dump_result result = {0};
    struct event *event = command->answer;
    int error = dump(bus, command->dump_fd, command->body, command->size, &result);
    event->view.serial = (uint32_t)-error;
    event->view.parked = result.size;
    event->view.n_fds = result.n_descriptors;
    event->view.body = memcpy(event + 1, result.why, sizeof(result.why));
    event->view.body_size = (uint32_t)strlen(result.why);
    events_push(bus->events, event);
    command->answer = NULL;
}

static void apply_stop(struct bus *bus, struct command *command)
{
    (void)command;
    bus->stop = true;
}

static void (*const appliers[COMMAND_COUNT])(struct bus *bus, struct command *command) = {
    [COMMAND_SET_LIMITS] = apply_set_limits,
    [COMMAND_MEDIATE] = apply_mediate,
    [COMMAND_SET_TEXTS] = apply_set_texts,
    [COMMAND_LOAD_POLICY] = apply_load_policy,
    [COMMAND_LISTEN] = apply_listen,
    [COMMAND_SHUT] = apply_shut,
    [COMMAND_STOP_LISTENING] = apply_stop_listening,
    [COMMAND_SETTLED] = apply_settled,
    [COMMAND_ATTACH] = apply_attach,
    [COMMAND_WELCOME] = apply_welcome,
    [COMMAND_SET_QUEUE] = apply_set_queue,
    [COMMAND_LEAVE_QUEUE] = apply_leave_queue,
    [COMMAND_NAME_INSTANCES] = apply_name_instances,
    [COMMAND_REPLY] = apply_reply,
    [COMMAND_ERROR] = apply_error,
    [COMMAND_SIGNAL] = apply_signal,
    [COMMAND_SEND] = apply_send,
    [COMMAND_BECOME_MONITOR] = apply_become_monitor,
    [COMMAND_RESUME] = apply_resume,
    [COMMAND_SHOW] = apply_show,
    [COMMAND_DELIVER] = apply_deliver,
    [COMMAND_REJECT] = apply_reject,
    [COMMAND_DISCONNECT] = apply_disconnect,
    [COMMAND_FORGET] = apply_forget,
    [COMMAND_EXPORT] = apply_export,
    [COMMAND_EXPLAIN] = apply_explain,
    [COMMAND_TAKEN] = apply_taken,
    [COMMAND_AWAIT_NAME] = apply_await_name,
    [COMMAND_COUNT_STARTS] = apply_count_starts,
    [COMMAND_SET_CATALOG] = apply_set_catalog,
    [COMMAND_BEGIN_GROUP] = apply_begin_group,
    [COMMAND_DISSOLVE_GROUP] = apply_dissolve_group,
    [COMMAND_FREEZE] = apply_freeze,
    [COMMAND_THAW] = apply_thaw,
    [COMMAND_DUMP] = apply_dump,
    [COMMAND_STOP] = apply_stop,
};

void command_apply(struct bus *bus, struct command *command)
{
    appliers[command->kind](bus, command);
}
