/* SPDX-License-Identifier: MIT */

/*
 * The canonical text of every accepted rule is accepted again and means the same. The lines of an input are
 * also rules, except the last, which is a message: an index of the rules finds the same rules as a linear
 * search.
 */

#include "match_fixture.h"

#include <errno.h>

#define ASSERT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            __builtin_trap();                                                                                \
    } while (0)

/* An apostrophe of the text becomes four characters, and short keys become longer. */
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

/* An index does not change the rule. */
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

#define LISTS 4
#define RULES 300

static uint32_t visits[LISTS]; /* of the owners of the lists */

/* The bytes choose among words, the rest is an argument. */
static bool make_message(struct span bytes, struct message *m)
{
    static const char *const names[] = {NULL, ":1.9", "d.one", "s.one"};
    static const char *const paths[] = {"/", "/a", "/a/b", "/a/b/c"};
    static const char *const texts[] = {"", "a.b", "a.b.c", "/", "/a/", "/a/b", "/a/b/", "x"};
    static const char types[] = "soaug";
    static char text[256];
    if (bytes.n < 6)
        return false;
    uint32_t n = bytes.n - 6 < sizeof(text) - 1 ? bytes.n - 6 : (uint32_t)sizeof(text) - 1;
    memcpy(text, bytes.s + 6, n);
    text[n] = '\0';
    struct match_message row = {.type = (uint8_t)(1 + (bytes.s[0] & 3)),
                                .destination = names[bytes.s[1] & 3]};
    if (row.type == MESSAGE_METHOD_CALL || row.type == MESSAGE_SIGNAL) {
        row.path = paths[bytes.s[2] & 3];
        row.interface = bytes.s[2] & 4 ? "i.g" : "i.f";
        row.member = bytes.s[2] & 8 ? "N" : "M";
    }
    for (unsigned i = 0; i < 3; i++) {
        uint8_t how = (uint8_t)bytes.s[3 + i];
        row.args[i] = (struct arg){types[how % 5], how & 128 ? text : texts[how >> 4 & 7]};
        if (how % 8 == 7)
            row.args[i].type = 0;
    }
    return match_message(&row, m);
}

/* Each matching rule is visited once. */
static void assert_finds(struct match_index *index, struct match_list *const lists[LISTS], struct span bytes)
{
    struct message m;
    if (!make_message(bytes, &m))
        return;
    struct match_subject subject = subject_of(&m);
    for (int known = 0; known < 2; known++) {
        memset(visits, 0, sizeof(visits));
        match_index_find(index, &subject, count_visit, NULL);
        for (uint32_t i = 0; i < LISTS; i++) {
            ASSERT(visits[i] == (lists[i] ? count_matches(lists[i], &subject) : 0));
            ASSERT(!lists[i] || match_list_matches(lists[i], &subject) == (visits[i] > 0));
        }
        subject.n_recipient_names = 0;
    }
}

static struct span add_lines(struct match_index *index, struct match_list *const lists[LISTS],
                             struct span text)
{
    char why[64];
    const char *end;
    for (uint32_t i = 0; i < RULES && (end = memchr(text.s, '\n', text.n)); i++) {
        uint32_t size = (uint32_t)(end - text.s);
        struct match_rule *rule;
        if (match_rule_parse((struct span){text.s, size}, &rule, why, sizeof(why)) == 0)
            ASSERT(match_index_add(index, lists[i % LISTS], rule));
        text = (struct span){end + 1, text.n - size - 1};
    }
    return text;
}

static void depart(struct match_index *index, struct match_list **list)
{
    match_index_depart(index, *list);
    *list = NULL;
    while (match_index_sweep(index))
        continue;
    ASSERT(match_index_is_swept(index));
}

static void assert_lines(struct span text)
{
    struct match_index *index;
    struct match_list *lists[LISTS];
    ASSERT(match_index_new(&index) == 0);
    for (uint32_t i = 0; i < LISTS; i++)
        ASSERT((lists[i] = match_list_new(&visits[i])));
    text = add_lines(index, lists, text);
    assert_finds(index, lists, text);
    match_index_forget(index, SPAN(":1.9"));
    depart(index, &lists[1]);
    assert_finds(index, lists, text);
    depart(index, &lists[2]);
    depart(index, &lists[3]);
    ASSERT(match_index_count(index) == lists[0]->count);
    match_index_depart(index, lists[0]); /* freed before it is swept */
    match_index_free(index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[64];
    struct match_rule *rule;
    struct span text = {(const char *)data, (uint32_t)size};
    if (size && memchr(data, '\n', size))
        assert_lines(text);
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
