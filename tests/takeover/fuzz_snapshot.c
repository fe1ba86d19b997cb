/* SPDX-License-Identifier: MIT */

/* Whatever a daemon answers: the snapshot is consistent, or says why it is none. */

#include "match/match.h"
#include "snapshot.h"

#include <stdlib.h>

#define ASSERT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            __builtin_trap();                                                                                \
    } while (0)

static void assert_rules(const struct snapshot *s)
{
    for (uint32_t i = 0; i < s->n_rules; i++) {
        struct match_rule *rule = NULL;
        const struct snapshot_rule *one = &s->rules[i];
        ASSERT(one->copies > 0 && strlen(one->text) == one->size);
        ASSERT(match_rule_parse_canonical((struct span){one->text, one->size}, &rule) == 0);
        match_rule_free(rule);
        ASSERT(i == 0 || s->rules[i - 1].peer <= one->peer);
    }
}

static void assert_names(const struct snapshot *s)
{
    for (uint32_t i = 0; i < s->n_ids; i++)
        ASSERT(snapshot_place(s, s->ids[i]) == i);
    for (uint32_t i = 0; i < s->n_names; i++)
        ASSERT(name_is_well_known(span_of(s->names[i].text)));
}

static void take(struct snapshot *s, const struct message *m, uint8_t which)
{
    bool taken;
    switch (which % 4) {
    case 0:
        taken = snapshot_take_guid(s, m);
        break;
    case 1:
        taken = snapshot_take_names(s, m);
        break;
    case 2:
        taken = s->n_names > 0 && snapshot_take_queue(s, 0, m);
        break;
    default:
        taken = snapshot_take_rules(s, m);
        if (taken)
            assert_rules(s);
        break;
    }
    ASSERT(taken || which % 4 == 2 || s->why[0] != '\0');
    if (taken && which % 4 == 1)
        assert_names(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct snapshot s = {0};
    while (size > 1) {
        uint32_t n;
        struct message m;
        if (message_frame(data + 1, size - 1, MESSAGE_MAX_SIZE, &n) != MESSAGE_OK || n > size - 1)
            break;
        uint8_t *copy = malloc(n);
        memcpy(copy, data + 1, n);
        if (message_parse(&m, copy, n) == MESSAGE_OK)
            take(&s, &m, data[0]);
        free(copy);
        data += 1 + n;
        size -= 1 + n;
    }
    snapshot_free(&s);
    return 0;
}
