/* SPDX-License-Identifier: MIT */

/* Whatever a rule's text is: what is accepted has a text that is accepted again and says the same. */

#include "../../transport/relay/match.h"

#include <errno.h>
#include <stdlib.h>

#define ASSERT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            __builtin_trap();                                                                                \
    } while (0)

/* An apostrophe of the text becomes four characters, and a key without much to say says more. */
#define TEXT_MAX (4 * MATCH_MAX_RULE_TEXT + 1024)

static void assert_round_trip(const struct match_rule *rule)
{
    char text[TEXT_MAX], again[TEXT_MAX], why[64];
    struct match_rule *copy;
    size_t n = match_rule_text(rule, text, sizeof(text));
    ASSERT(n < sizeof(text) && strlen(text) == n);
    if (n > MATCH_MAX_RULE_TEXT)
        return;
    ASSERT(match_rule_parse(span_of(text), &copy, why, sizeof(why)) == 0);
    ASSERT(match_rule_equal(rule, copy));
    ASSERT(match_rule_eavesdrops(rule) == match_rule_eavesdrops(copy));
    ASSERT(match_rule_text(copy, again, sizeof(again)) == n && strcmp(text, again) == 0);
    match_rule_free(copy);
}

/* In an index the rule still is what it was. */
static void assert_index(struct match_rule *rule, struct span text)
{
    char why[64];
    struct match_index *index;
    struct match_rule *like;
    struct match_list list = {.owner = &list};
    ASSERT(match_index_new(&index) == 0);
    ASSERT(match_rule_parse(text, &like, why, sizeof(why)) == 0);
    ASSERT(match_index_add(index, &list, rule) == rule);
    ASSERT(match_rule_equal(match_list_next(&list, NULL), like));
    ASSERT(match_index_remove(index, &list, like));
    ASSERT(match_index_count(index) == 0 && list.count == 0 && list.memory == 0);
    match_rule_free(like);
    match_index_free(index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[64];
    struct match_rule *rule;
    struct span text = {(const char *)data, (uint32_t)size};
    int error = match_rule_parse(text, &rule, why, sizeof(why));
    if (error) {
        ASSERT(error == -EINVAL || error == -E2BIG);
        ASSERT(!rule && memchr(why, 0, sizeof(why)));
        return 0;
    }
    assert_round_trip(rule);
    assert_index(rule, text);
    return 0;
}
