/* SPDX-License-Identifier: MIT */

/*
 * The cost of a verdict: bench_policy BLOCK CASE N judges the case N times, after one unmeasured
 * time. Cases: call (to a service), reply (to it), signal (of the service, to 32 clients).
 * bench_policy.py counts the instructions of measured().
 */

#include "../../transport/relay/send/judge.h"

#include <stdio.h>
#include <stdlib.h>

#define SUBSCRIBERS 32u
#define SERVICE "org.freedesktop.NetworkManager"
#define DEVICE SERVICE ".Device"

static struct peer *peer_of(struct bus *bus, uint64_t id, uint32_t uid, const char *name)
{
    const uint32_t gids[] = {uid, 4, 24, 27, 100};
    const struct relay_credentials credentials = {.uid = uid, .gids = gids, .n_gids = 5, .loginfo = "uid=0"};
    struct peer *peer = peer_new(id, -1, &credentials);
    if (!peer || (name && registry_set_queue(&bus->registry, span_of(name), &peer, 1) < 0))
        abort();
    peer->active = true;
    return peer;
}

static struct policy *policy_read(const char *path)
{
    static uint8_t block[1u << 20];
    struct policy *policy;
    FILE *file = fopen(path, "rb");
    size_t size = file ? fread(block, 1, sizeof(block), file) : 0;
    if (file)
        fclose(file);
    if (policy_new(&policy, block, size, 1) < 0) {
        fprintf(stderr, "%s is no policy\n", path);
        exit(EXIT_FAILURE);
    }
    return policy;
}

/* Judges one message for all its receivers. */
static unsigned message_judged(struct bus *bus, const struct message *m, struct peer *sender,
                               struct peer *const *to, unsigned n)
{
    unsigned allowed = 0;
    struct policy_case c = {.m = m, .sender = sender, .requested_reply = m->reply_serial != 0};
    if (n > 1) /* as the router does for a broadcast */
        policy_classify(bus->policy, m, &c.class);
    for (unsigned i = 0; i < n; i++) {
        c.recipient = to[i];
        allowed += judge(bus, &c, NULL);
    }
    return allowed;
}

__attribute__((noinline)) unsigned measured(struct bus *bus, const struct message *m, struct peer *sender,
                                            struct peer *const *to, unsigned n, unsigned times)
{
    unsigned allowed = 0;
    for (unsigned i = 0; i < times; i++)
        allowed += message_judged(bus, m, sender, to, n);
    return allowed;
}

int main(int argc, char **argv)
{
    const struct message call = {.type = MESSAGE_METHOD_CALL,
                                 .destination = SPAN(SERVICE),
                                 .path = SPAN("/org/freedesktop/NetworkManager/Devices/2"),
                                 .interface = SPAN(DEVICE),
                                 .member = SPAN("GetAppliedConnection")};
    const struct message reply = {
        .type = MESSAGE_METHOD_RETURN, .destination = SPAN(":1.1"), .reply_serial = 7};
    const struct message signal = {.type = MESSAGE_SIGNAL,
                                   .path = SPAN("/org/freedesktop/NetworkManager/Devices/2"),
                                   .interface = SPAN("org.freedesktop.DBus.Properties"),
                                   .member = SPAN("PropertiesChanged")};
    static struct bus bus;
    struct peer *clients[SUBSCRIBERS];
    if (argc < 4) {
        fprintf(stderr, "usage: bench_policy BLOCK call|reply|signal N\n");
        return EXIT_FAILURE;
    }
    const unsigned times = (unsigned)atoi(argv[3]);
    bus.policy = policy_read(argv[1]);
    if (registry_init(&bus.registry, &bus.policy) < 0)
        abort();
    struct peer *service = peer_of(&bus, 0, 0, SERVICE);
    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        clients[i] = peer_of(&bus, i + 1, i % 8 == 7 ? 0 : 1000, i == 7 ? "org.freedesktop.UPower" : NULL);
    const bool is_call = argv[2][0] == 'c', is_signal = argv[2][0] == 's';
    const struct message *m = is_call ? &call : is_signal ? &signal : &reply;
    struct peer *sender = is_call ? clients[0] : service;
    const unsigned n = is_signal ? SUBSCRIBERS : 1;
    message_judged(&bus, m, sender, is_call ? &service : clients, n);
    const unsigned allowed = measured(&bus, m, sender, is_call ? &service : clients, n, times);
    printf("%u of %u\n", allowed, n * times);
    registry_free(&bus.registry);
    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        peer_free(clients[i]);
    peer_free(service);
    policy_free(bus.policy);
    return allowed == n * times ? EXIT_SUCCESS : EXIT_FAILURE;
}
