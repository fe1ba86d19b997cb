/* SPDX-License-Identifier: MIT */

/*
 * Every block is refused, or messages are judged by it, with the same cached and uncached verdicts. The first
 * byte says whether a header is put before the rest: then it is the number of rules, followed by their texts.
 */

#include "../../transport/relay/send/judge.h"

#include <errno.h>
#include <stdlib.h>

#define ASSERT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            __builtin_trap();                                                                                \
    } while (0)

#define PEERS 3u

/* In memory of exactly its size. */
static uint8_t *block_new(const uint8_t *data, size_t size, size_t *block_size)
{
    const bool bare = data[0] == 0xff;
    const uint32_t rules = data[0] * 64u < size ? data[0] : (uint32_t)(size / 64);
    const uint32_t header[] = {rules, 64, 32 + 64 * rules, (uint32_t)size - 64 * rules + 1, 0, 0};
    *block_size = bare ? size - 1 : size - 1 + 32 + 2;
    uint8_t *block = malloc(*block_size + (*block_size == 0));
    ASSERT(block);
    if (bare) {
        memcpy(block, data + 1, size - 1);
        return block;
    }
    memcpy(block, "OMNIPOL1", 8);
    memcpy(block + 8, header, sizeof(header));
    memcpy(block + 32, data + 1, size - 1);
    block[*block_size - 2] = block[*block_size - 1] = 0;
    return block;
}

/* One of the texts of the policy, or perhaps another one. */
static struct span some_text(const struct policy *policy, size_t strings, uint8_t byte)
{
    if (byte == 0)
        return (struct span){0};
    return byte % 8 == 1 || strings == 0 ? SPAN("org.example.A.B")
                                         : span_of(policy->strings + byte % strings);
}

static void assert_case(struct bus *bus, struct policy_case *c)
{
    static struct denial denial;
    struct policy_party sender = {.role = policy_role_of_bus(bus->policy)};
    struct policy_party recipient = {.role = policy_role_of_name(bus->policy, c->m->destination)};
    ASSERT(!c->sender || peer_party(c->sender, bus->policy, &sender));
    ASSERT(!c->recipient || peer_party(c->recipient, bus->policy, &recipient));
    struct policy_class class;
    policy_classify(bus->policy, c->m, &class);
    class.bits |= c->requested_reply && class.bits & POLICY_IS_REPLY ? POLICY_IS_REQUESTED : 0;
    class.bits |= c->eavesdropping ? POLICY_IS_EAVESDROPPING : 0;
    bool allowed =
        (!c->sender || policy_can_send(bus->policy, sender.identity, recipient.role, &class).allow) &&
        (!c->recipient || policy_can_receive(bus->policy, recipient.identity, sender.role, &class).allow);
    ASSERT(judge(bus, c, NULL) == allowed);
    ASSERT(judge(bus, c, &denial) == allowed);
}

static void assert_messages(struct bus *bus, struct peer *const *peers, size_t strings, const uint8_t *bytes,
                            size_t n)
{
    for (; n >= 8; bytes += 8, n -= 8) {
        const struct message m = {.type = (uint8_t)(1 + bytes[0] % 4),
                                  .reply_serial = bytes[0] & 4,
                                  .n_fds = bytes[0] >> 6,
                                  .path = some_text(bus->policy, strings, bytes[1]),
                                  .interface = some_text(bus->policy, strings, bytes[2]),
                                  .member = some_text(bus->policy, strings, bytes[3]),
                                  .error_name = some_text(bus->policy, strings, bytes[4]),
                                  .destination = some_text(bus->policy, strings, bytes[5])};
        struct policy_case c = {.m = &m,
                                .sender = bytes[6] % 4 < PEERS ? peers[bytes[6] % 4] : NULL,
                                .recipient = bytes[7] % 4 < PEERS ? peers[bytes[7] % 4] : NULL,
                                .requested_reply = bytes[0] & 16,
                                .eavesdropping = bytes[0] & 32};
        assert_case(bus, &c);
    }
}

static void assert_judges(struct policy *policy, size_t strings, const uint8_t *data, size_t size)
{
    struct bus bus = {.policy = policy, .n_log = UINT32_MAX};
    struct peer *peers[PEERS];
    const uint32_t gids[] = {data[size - 1], 0, 7, 0};
    ASSERT(registry_init(&bus.registry, &bus.policy) == 0);
    for (uint32_t i = 0; i < PEERS; i++) {
        const struct relay_credentials credentials = {
            .uid = i == 2 ? POLICY_ANY : i, .gids = gids, .n_gids = i * 2, .at_console = i == 1};
        ASSERT((peers[i] = peer_new(i, -1, &credentials)));
        struct span name = some_text(policy, strings, (uint8_t)(size + i));
        ASSERT(!name.s || registry_set_queue(&bus.registry, name, peers, i + 1) == 0);
    }
    assert_messages(&bus, peers, strings, data, size);
    registry_free(&bus.registry);
    for (uint32_t i = 0; i < PEERS; i++)
        peer_free(peers[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t block_size;
    struct policy *policy;
    uint8_t *block = block_new(data, size, &block_size);
    int error = policy_new(&policy, block, block_size, 1);
    uint32_t strings = 0;
    if (error == 0)
        memcpy(&strings, block + 20, sizeof(strings));
    free(block);
    if (error) {
        ASSERT(error == -EINVAL);
        return 0;
    }
    assert_judges(policy, strings, data, size);
    policy_free(policy);
    return 0;
}
