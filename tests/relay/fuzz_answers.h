/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_FUZZ_ANSWERS_H
#define OMNIBUS_FUZZ_ANSWERS_H

/* What the control plane answers. */

#include "fuzz_catalog.h"

static inline void control_end(uint32_t which)
{
    control.n_open--;
    memmove(&control.open[which], &control.open[which + 1],
            (control.n_open - which) * sizeof(control.open[0]));
}

/* Drops the open events of a forgotten peer, which are not answered. */
static inline void control_end_calls(uint64_t peer)
{
    for (uint32_t i = control.n_open; i-- > 0;) {
        if (control.open[i].kind == RELAY_EVENT_CALL && control.open[i].peer == peer)
            control_end(i);
    }
}

static inline void control_become_monitor(const struct control_open *open, struct input *in)
{
    char why[512];
    const char *rules[] = {CHOOSE(word_rules, in), CHOOSE(word_rules, in)};
    world.running = true;
    int (*become)(struct relay * relay, uint64_t peer, uint32_t serial, const char *const *rules, uint32_t n,
                  char *why, size_t why_size) = open->serial % 2 ? relay_become_monitor : relay_become_tracer;
    int error = become(control.relay, open->peer, open->serial, rules, input_byte(in) % 3, why, sizeof(why));
    world.running = false;
    if (error < 0)
        CONTROL(relay_error(control.relay, open->peer, open->serial, "e.r", "no"));
    else
        control_leave_queues(open->peer);
}

static inline void control_reply(const struct control_open *open, struct input *in)
{
    static const uint8_t text[] = {3, 0, 0, 0, 'a', '.', 'b', 0};
    uint8_t how = input_byte(in);
    const char *signature = how & 2   ? "s"
                            : how & 4 ? "u"
                                      : NULL; /* most bodies of 8 bytes are invalid for these */
    CONTROL(relay_reply(control.relay, open->peer, open->serial, signature, text,
                        signature ? sizeof(text) : 0, how & 1));
}

static inline void control_name_call(const struct control_open *open, struct input *in)
{
    static const uint8_t one[] = {1, 0, 0, 0};
    if (open->name < WORDS_OWNED && open->active && open->type == MESSAGE_METHOD_CALL) {
        if (input_byte(in) & 1)
            control_dequeue(open->name, open->peer);
        else
            control_enqueue(open->name, open->peer);
        control_set_queue(open->name);
    }
    CONTROL(relay_reply(control.relay, open->peer, open->serial, "u", one, sizeof(one), false));
}

static inline void control_answer_call(const struct control_open *open, struct input *in)
{
    uint8_t how = open->type == MESSAGE_METHOD_CALL ? input_byte(in) % 6 : 5;
    if (open->hello && how < 3) {
        CONTROL_SURELY(relay_welcome(control.relay, open->peer, open->serial));
        return;
    }
    if (how == 0)
        control_name_call(open, in);
    else if (how == 1)
        control_reply(open, in);
    else if (how == 2 && open->active)
        control_become_monitor(open, in);
    else if (how == 3)
        CONTROL(relay_error(control.relay, open->peer, open->serial, CHOOSE(word_errors, in), "no"));
    else if (how == 4)
        CONTROL(relay_disconnect(control.relay, open->peer));
    CONTROL_SURELY(relay_resume(control.relay, open->peer));
}

/* Answers one open event. */
static inline void control_answer(struct input *in)
{
    if (control.n_open == 0)
        return;
    uint32_t which = input_byte(in) % control.n_open;
    const struct control_open open = control.open[which];
    uint8_t how = open.kind == RELAY_EVENT_PARKED ? input_byte(in) % 3 : 0;
    if (how == 1) {
        CONTROL(relay_show(control.relay, open.parked));
        return;
    }
    control_end(which);
    if (open.outdated && control.directories)
        catalog_read();
    if (open.kind == RELAY_EVENT_CALL) {
        control_answer_call(&open, in);
    } else if (open.kind == RELAY_EVENT_GONE) {
        control_end_calls(open.peer);
        control_leave_queues(open.peer);
        CONTROL_SURELY(relay_forget(control.relay, open.peer));
    } else if (how == 0) {
        CONTROL_SURELY(relay_reject(control.relay, open.parked, "e.r", "no"));
    } else {
        CONTROL_SURELY(relay_deliver(control.relay, open.parked));
    }
}

/* Answers all open events in the simplest way. */
static inline void control_answer_all(void)
{
    while (control.n_open > 0) {
        struct input plain = {NULL, NULL};
        control_answer(&plain);
    }
    CONTROL(relay_commit(control.relay));
}

#endif
