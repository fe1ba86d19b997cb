/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include "quiet.h"

struct plan_slot plan_slots[SLOTS_MAX];
uint32_t plan_n_slots, plan_size_bits, plan_flood_bits;

/* The relative frequency of each action; each round omits some of them. */
static const struct {
    action act;
    uint32_t weight;
} actions[] = {
    {act_connect, 60},       {act_loiter, 6},        {act_kill, 6},         {act_close, 16},
    {act_shut, 3},           {act_stop_reading, 20}, {act_read, 16},        {act_chunk, 12},
    {act_hold, 10},          {act_release, 14},      {act_wild, 4},         {act_broadcast, 100},
    {act_signal, 100},       {act_call, 120},        {act_unknown_type, 8}, {act_stray_reply, 6},
    {act_again, 4},          {act_service, 8},       {act_flood, 16},       {act_driver, 30},
    {act_driver_flood, 14},  {act_add_rule, 40},     {act_remove_rule, 16}, {act_request_name, 30},
    {act_release_name, 14},  {act_monitor, 2},       {act_reload, 1},       {act_nap, 8},
    {act_look, 4},           {act_add_server, 24},   {act_stop_server, 3},  {act_contained, 40},
    {act_request_header, 4}, {act_metadata, 4},
};
#define ACTIONS (sizeof(actions) / sizeof(*actions))

struct mood {
    uint32_t weight[ACTIONS], total;
    uint32_t actions;
    bool stalls;
};

static struct mood mood_of(struct world *w)
{
    struct mood mood = {.actions = prng_between(&w->plan, 50, 800)};
    for (size_t i = 0; i < ACTIONS; i++) {
        bool without = prng_one_in(&w->plan, 4) && actions[i].act != act_connect;
        mood.weight[i] = without ? 0 : 1 + actions[i].weight * prng_between(&w->plan, 1, 8);
        mood.total += mood.weight[i];
    }
    plan_n_slots = prng_between(&w->plan, 3, w->settings.slots);
    plan_size_bits = prng_between(&w->plan, 9, 17);
    plan_flood_bits = prng_between(&w->plan, 6, 12);
    if (prng_one_in(&w->plan, 10)) /* larger than what the bus reads before it parses */
        plan_flood_bits = 15;
    if (prng_one_in(&w->plan, 40))
        plan_size_bits = 22;
    mood.stalls = prng_one_in(&w->plan, 12);
    return mood;
}

struct client *plan_client(struct world *w)
{
    uint32_t first = prng_below(&w->plan, plan_n_slots);
    for (uint32_t i = 0; i < plan_n_slots; i++) {
        const struct plan_slot *slot = &plan_slots[(first + i) % plan_n_slots];
        if (slot->taken)
            return w->clients[slot->client];
    }
    return NULL;
}

struct client *plan_manager(struct world *w)
{
    uint32_t first = prng_below(&w->plan, plan_n_slots);
    for (uint32_t i = 0; i < plan_n_slots; i++) {
        const struct plan_slot *slot = &plan_slots[(first + i) % plan_n_slots];
        if (slot->taken && slot->serves)
            return w->clients[slot->client];
    }
    return plan_client(w);
}

static void act(struct world *w, const struct mood *mood)
{
    uint32_t choice = prng_below(&w->plan, mood->total);
    size_t i = 0;
    while (choice >= mood->weight[i])
        choice -= mood->weight[i++];
    /* its own stream: an additional number drawn by one action does not change the following ones */
    struct prng p = prng_of(prng_next(&w->plan), i);
    plan_note(w, (uint32_t)i, 0, 0);
    actions[i].act(w, &p);
}

static void half_round(struct world *w, const struct mood *mood, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++, w->action++) {
        if (w->action >= w->settings.actions)
            break;
        act(w, mood);
        pump(w, 0);
    }
    quiet(w);
}

void plan_round(struct world *w)
{
    w->plan = prng_of(w->settings.seed, w->round);
    w->digest = 0xcbf29ce484222325u;
    w->action = 0;
    memset(plan_slots, 0, sizeof(plan_slots));
    struct mood mood = mood_of(w);
    struct prng p = prng_of(w->settings.seed, ~(uint64_t)w->round);
    for (uint32_t i = 0; i < 3; i++)
        act_connect(w, &p);
    half_round(w, &mood, mood.actions / 2);
    if (mood.stalls && w->action < w->settings.actions)
        act_stall(w, &p);
    half_round(w, &mood, mood.actions / 2);
}
