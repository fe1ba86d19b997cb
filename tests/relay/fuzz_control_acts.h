/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_FUZZ_CONTROL_ACTS_H
#define OMNIBUS_FUZZ_CONTROL_ACTS_H

/* Acts of the control plane other than answers. */

#include "fuzz_client_acts.h"

#define GUID "0123456789abcdef0123456789abcdef"

static struct policy_draft draft;
static struct relay_limits limits;

static inline void act_time(struct input *in)
{
    world.now += 1000 * CHOOSE(word_times, in);
    uint8_t how = input_byte(in);
    world.step = how & 128 ? 150 : 0;
    for (uint8_t n = 1 + how % 4; n > 0; n--)
        control_turn();
}

static inline void act_events(struct input *in)
{
    control_take(1 + input_byte(in) % 16);
    control_turn();
}

static inline void act_answer(struct input *in)
{
    uint8_t how = input_byte(in);
    control_take(16);
    for (uint8_t n = 1 + how % 3; n > 0; n--)
        control_answer(in);
    CONTROL(relay_commit(control.relay));
    control_turn();
}

static inline void act_limit(struct input *in)
{
    uint64_t *const large[] = {&limits.max_incoming_bytes, &limits.max_outgoing_bytes,
                               &limits.max_incoming_unix_fds, &limits.max_outgoing_unix_fds};
    uint32_t *const small[] = {&limits.max_message_size,
                               &limits.max_message_unix_fds,
                               &limits.max_match_rules_per_connection,
                               &limits.max_replies_per_connection,
                               &limits.max_completed_connections,
                               &limits.max_connections_per_user,
                               &limits.max_names_per_connection,
                               &limits.max_incomplete_connections};
    int64_t *const times[] = {&limits.auth_timeout, &limits.reply_timeout, &limits.pending_fd_timeout};
    uint32_t which = input_byte(in) % (COUNT(large) + COUNT(small) + COUNT(times));
    int64_t value = CHOOSE(word_limits, in);
    if (which < COUNT(large))
        *large[which] = (uint64_t)value;
    else if (which < COUNT(large) + COUNT(small))
        *small[which - COUNT(large)] = (uint32_t)value;
    else
        *times[which - COUNT(large) - COUNT(small)] = value ? value : -1;
    CONTROL(relay_set_limits(control.relay, &limits));
    CONTROL(relay_commit(control.relay));
}

/* Loads the rules whose bits are set, or an arbitrary block. */
static inline void load_policy(struct input *in, uint32_t rules)
{
    policy_draft_begin(&draft);
    for (uint32_t i = 0; i < COUNT(word_policies); i++) {
        if (rules & 1u << i)
            policy_draft_add(&draft, &word_policies[i]);
    }
    policy_draft_end(&draft);
    if (in && input_byte(in) == 255)
        draft.data[input_byte(in)] = input_byte(in);
    world.running = true;
    int error = relay_load_policy(control.relay, draft.data, draft.size);
    world.running = false;
    ASSERT(error == 0 || error == -EINVAL || (error == -ENOMEM && world.allocations_fail));
    CONTROL(relay_commit(control.relay));
}

static inline void act_policy(struct input *in)
{
    uint32_t rules = input_byte(in);
    load_policy(in, rules | (uint32_t)input_byte(in) << 8);
    control_turn();
}

/* Sends signals and calls of the bus. */
static inline void act_say(struct input *in)
{
    static const uint8_t text[] = {3, 0, 0, 0, 'a', '.', 'b', 0};
    struct relay *relay = control.relay;
    uint8_t how = input_byte(in);
    const char *path = CHOOSE(word_paths, in), *member = CHOOSE(word_members, in);
    const char *signature = how & 1 ? "s" : how & 2 ? "u" : NULL;
    size_t size = signature ? sizeof(text) : 0;
    if (how & 4) {
        uint64_t peer = how & 8 ? UINT64_MAX : how >> 4;
        CONTROL(relay_signal(relay, peer, path, "org.freedesktop.DBus", member, signature, text, size));
    } else {
        bool call = how & 8;
        control.asked = call ? 0x80000000u + how : control.asked;
        CONTROL(relay_send(relay, how >> 4 & 3, call ? MESSAGE_METHOD_CALL : MESSAGE_SIGNAL,
                           call ? control.asked : 0, word_names[(how >> 6) * 3], path, "i.f", member,
                           signature, text, size));
    }
    CONTROL(relay_commit(relay));
    control_turn();
}

static inline void act_order(struct input *in)
{
    struct relay *relay = control.relay;
    uint8_t what = input_byte(in), which = input_byte(in);
    const uint64_t peers[] = {which & 7, which >> 3 & 7};
    switch (what % 6) {
    case 0:
        CONTROL(relay_disconnect(relay, which & 7));
        break;
    case 1:
        CONTROL(relay_export(relay, what / 6 % 8, peers, which >> 6 & 2));
        break;
    case 2:
        CONTROL(relay_await_name(relay, word_names[(which >> 1) % WORDS_OWNED], which & 1));
        break;
    case 3:
        world.running = true;
        int error = relay_listen(relay, which & 2 ? door : -1, which, GUID, which & 1, which & 4);
        world.running = false;
        ASSERT(error == 0 || error == -EBADF || error == -ENOMEM);
        break;
    case 4:
        CONTROL(relay_stop_listening(relay));
        break;
    default:
        if ((what & 192) == 192)
            CONTROL(relay_shut(relay, which));
        else if (what & 128)
            CONTROL(relay_name_instances(relay, which & 7));
        else if (what & 64)
            catalog_configure(which);
        else
            CONTROL(relay_count_starts(relay, which & 7));
        relay_incomplete(relay);
        ASSERT(relay_event_fd(relay) >= 0);
        break;
    }
    CONTROL(relay_commit(relay));
    control_turn();
}

#endif
