/* SPDX-License-Identifier: MIT */
#include "state/monitor_rules.h"

#include <errno.h>

int monitors_init(struct monitors *monitors)
{
    monitors->account = account_new();
    return monitors->account && match_index_new(&monitors->rules) == 0 ? 0 : -ENOMEM;
}

void monitors_free(struct monitors *monitors)
{
    if (monitors->rules)
        match_index_free(monitors->rules);
    account_unref(monitors->account);
    marshal_free(&monitors->marshal);
    marshal_free(&monitors->stamp);
}

int monitor_new(struct monitor **out, const char *const *rules, uint32_t n, char *why, size_t why_size)
{
    static const char *const everything[] = {""};
    if (n == 0) {
        rules = everything;
        n = 1;
    }
    struct monitor *monitor = calloc(1, sizeof(*monitor) + n * sizeof(*monitor->rules));
    int error = monitor ? 0 : -ENOMEM;
    for (uint32_t i = 0; error == 0 && i < n; i++) {
        error = match_rule_parse(span_of(rules[i]), &monitor->rules[i], why, why_size);
        if (error)
            break;
        match_rule_set_eavesdrop(monitor->rules[i]);
        monitor->n_rules++;
    }
    if (error)
        monitor_free(monitor);
    else
        *out = monitor;
    return error;
}

void monitor_free(struct monitor *monitor)
{
    for (uint32_t i = 0; monitor && i < monitor->n_rules; i++)
        match_rule_free(monitor->rules[i]);
    free(monitor);
}

int monitor_begin(struct bus *bus, struct peer *peer, struct monitor *monitor)
{
    monitor->list = match_list_new(peer);
    if (!monitor->list)
        return -ENOMEM;
    for (uint32_t i = 0; i < monitor->n_rules; i++) {
        if (!match_index_add(bus->monitors.rules, monitor->list, monitor->rules[i])) {
            match_index_depart(bus->monitors.rules, monitor->list);
            return -ENOMEM;
        }
        monitor->rules[i] = NULL;
    }
    peer->monitor = monitor;
    bus_count_matches(bus, peer);
    return 0;
}

void monitor_end(struct bus *bus, struct peer *peer)
{
    if (peer->monitor->watching)
        bus->monitors.count--;
    peer->monitor->watching = false;
    match_index_depart(bus->monitors.rules, peer->monitor->list);
    peer->monitor->list = NULL;
}
