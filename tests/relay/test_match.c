/* SPDX-License-Identifier: MIT */
#include "match_fixture.h"

/* D-Bus specification, "Match Rules": after any changes the index finds the same rules as a linear search.
 */

static uint32_t random_state;

static uint32_t random_below(uint32_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state % n;
}

#define ONE_OF(words) (words)[random_below(CHECK_COUNT(words))]

static const char *const paths[] = {"/", "/a", "/a/b", "/ab", "/a/b/c", "/a/bc"};
static const char *const interfaces[] = {"i.f", "i.g"};
static const char *const members[] = {"M", "N"};
static const char *const names[] = {
    ":1.7", ":1.8", ":1.9", "s.one", "s.two", "d.one", "org.freedesktop.DBus"};
static const char *const namespaces[] = {"s", "s.one", "s.one.more", "d", ":1", ":1.7"};
static const char *const texts[] = {"",           "/",      "//", "/a",    "/a/",   "/a/b",
                                    "/a/b/",      "/a/b/c", "a/", "s.one", "s.two", "s.",
                                    "s.one.more", "s.one.", "s",  ":1.7",  ":1",    "x"};

/* Short rules are more likely, as they match more. */
static void random_rule(char *out, size_t size)
{
    static const char *const types[] = {"signal", "signal", "method_call", "error"};
    size_t n = 0;
    out[0] = '\0';
#define PART(likely, ...)                                                                                    \
    if (random_below(100) < (likely))                                                                        \
    n += (size_t)snprintf(out + n, size - n, __VA_ARGS__)
    PART(30, "type=%s,", ONE_OF(types));
    PART(15, "sender=%s,", ONE_OF(names));
    PART(15, "interface=%s,", ONE_OF(interfaces));
    PART(15, "member=%s,", ONE_OF(members));
    PART(20, "path%s=%s,", random_below(2) ? "_namespace" : "", ONE_OF(paths));
    PART(10, "destination=%s,", ONE_OF(names));
    PART(20, "eavesdrop=true,");
    PART(15, "arg0=%s,", ONE_OF(texts));
    else PART(20, "arg0path=%s,", ONE_OF(texts));
    else PART(20, "arg0namespace=%s,", ONE_OF(namespaces));
    PART(15, "arg%u%s=%s,", 1 + random_below(3), random_below(2) ? "path" : "", ONE_OF(texts));
#undef PART
}

static bool random_message(struct message *m)
{
    struct match_message row = {.type = MESSAGE_SIGNAL};
    if (random_below(3) == 0)
        row.type = (uint8_t)(1 + random_below(4));
    bool reply = row.type == MESSAGE_METHOD_RETURN || row.type == MESSAGE_ERROR;
    row.path = reply ? NULL : ONE_OF(paths);
    row.interface = reply ? NULL : ONE_OF(interfaces);
    row.member = reply ? NULL : ONE_OF(members);
    row.destination = random_below(4) ? NULL : ONE_OF(names);
    unsigned n = random_below(MATCH_MESSAGE_ARGS + 1);
    for (unsigned i = 0; i < n; i++) {
        static const char types[] = "sssssoua";
        row.args[i].type = types[random_below(8)];
        row.args[i].text = row.args[i].type == 'o' ? ONE_OF(paths) : ONE_OF(texts);
    }
    return match_message(&row, m);
}

#define LISTS 12

struct bed {
    struct match_index *index;
    struct match_list *lists[LISTS];
    uint32_t visits[LISTS];
};

static bool bed_make(struct bed *bed)
{
    *bed = (struct bed){0};
    bool made = match_index_new(&bed->index) == 0;
    for (unsigned i = 0; i < LISTS; i++)
        made &= (bed->lists[i] = match_list_new(&bed->visits[i])) != NULL;
    return made;
}

static void bed_free(struct bed *bed)
{
    for (unsigned i = 0; i < LISTS; i++)
        match_index_depart(bed->index, bed->lists[i]);
    match_index_free(bed->index);
}

static void bed_sweep(struct bed *bed)
{
    while (match_index_sweep(bed->index))
        continue;
}

/* Replaces a list by another, as when its owner leaves. */
static void bed_renew(struct bed *bed, unsigned i)
{
    match_index_depart(bed->index, bed->lists[i]);
    bed->lists[i] = match_list_new(&bed->visits[i]);
    REQUIRE(bed->lists[i]);
}

/* Each matching rule is visited exactly once. */
static void bed_find(struct bed *bed, const struct match_subject *subject)
{
    memset(bed->visits, 0, sizeof(bed->visits));
    match_index_find(bed->index, subject, count_visit, NULL);
    for (unsigned i = 0; i < LISTS; i++) {
        uint32_t matches = count_matches(bed->lists[i], subject);
        CHECK_EQUAL(bed->visits[i], matches);
        CHECK_EQUAL(match_list_matches(bed->lists[i], subject), matches > 0);
    }
}

static void bed_find_random(struct bed *bed, unsigned n)
{
    struct message m;
    while (n--) {
        REQUIRE(random_message(&m));
        struct match_subject subject = subject_of(&m);
        subject.n_sender_names = random_below(CHECK_COUNT(match_sender_names) + 1);
        subject.n_recipient_names = random_below(subject.n_recipient_names + 1);
        bed_find(bed, &subject);
    }
}

/* The lists and the counts agree. */
static void bed_check_counts(const struct bed *bed)
{
    uint32_t count = 0, eavesdroppers = 0;
    for (unsigned i = 0; i < LISTS; i++) {
        const struct match_list *list = bed->lists[i];
        uint32_t n = 0;
        size_t memory = 0;
        for (const struct match_rule *rule = NULL; (rule = match_list_next(list, rule));) {
            n += match_rule_copies(rule);
            memory += match_rule_memory(rule);
            eavesdroppers += match_rule_eavesdrops(rule) ? match_rule_copies(rule) : 0;
        }
        CHECK_EQUAL(list->count, n);
        CHECK_EQUAL(list->memory, memory);
        count += n;
    }
    CHECK_EQUAL(match_index_count(bed->index), count);
    CHECK_EQUAL(match_index_eavesdroppers(bed->index), eavesdroppers);
}

static uint32_t count_equal(const struct match_list *list, const struct match_rule *like)
{
    uint32_t n = 0;
    for (const struct match_rule *rule = list->first; rule; rule = rule->next)
        n += match_rule_equal(rule, like) ? match_rule_copies(rule) : 0;
    return n;
}

static void bed_add_random(struct bed *bed, unsigned n)
{
    char text[512];
    while (n--) {
        random_rule(text, sizeof(text));
        check_case = text;
        REQUIRE(rule_add(bed->index, bed->lists[random_below(LISTS)], text));
    }
    check_case = NULL;
}

static void bed_remove_random(struct bed *bed, unsigned n)
{
    char text[512];
    while (n--) {
        struct match_list *list = bed->lists[random_below(LISTS)];
        if (random_below(2) && list->last) /* an existing one */
            match_rule_text(list->last, text, sizeof(text));
        else
            random_rule(text, sizeof(text));
        struct match_rule *like = rule_new(text);
        REQUIRE(like);
        uint32_t before = list->count, equal = count_equal(list, like);
        CHECK_EQUAL(match_index_remove(bed->index, list, like), equal > 0);
        CHECK_EQUAL(list->count, before - (equal > 0));
        CHECK_EQUAL(count_equal(list, like), equal - (equal > 0));
        match_rule_free(like);
    }
}

static void index_finds_the_rules_of_a_linear_search(void)
{
    for (uint32_t seed = 1; seed <= 40 && !check_failures; seed++) {
        struct bed bed;
        random_state = seed * 2654435761u;
        REQUIRE(bed_make(&bed));
        bed_find_random(&bed, 3);
        for (unsigned round = 0; round < 3; round++) {
            bed_add_random(&bed, seed * 8);
            bed_check_counts(&bed);
            bed_find_random(&bed, 60);
            bed_remove_random(&bed, seed * 2);
            bed_renew(&bed, random_below(LISTS));
            bed_check_counts(&bed);
            bed_find_random(&bed, 60);
        }
        bed_free(&bed);
    }
}

static void rules_naming_a_departed_peer_are_removed(void)
{
    struct bed bed;
    REQUIRE(bed_make(&bed));
    rule_add(bed.index, bed.lists[0], "sender=:1.7,member=M");
    rule_add(bed.index, bed.lists[0], "sender=:1.7,member=N");
    rule_add(bed.index, bed.lists[1], "sender=:1.7,member=M");
    rule_add(bed.index, bed.lists[1], "sender=:1.7,destination=:1.7,eavesdrop=true");
    rule_add(bed.index, bed.lists[1], "sender=:1.8,destination=:1.7");
    rule_add(bed.index, bed.lists[1], "arg0=:1.7");
    rule_add(bed.index, bed.lists[2], "sender=:1.8");
    rule_add(bed.index, bed.lists[2], "sender=s.one");
    match_index_forget(bed.index, SPAN(":1.99"));
    match_index_forget(bed.index, SPAN("s.one"));
    CHECK_EQUAL(match_index_count(bed.index), 8);
    match_index_forget(bed.index, SPAN(":1.7"));
    bed_sweep(&bed);
    CHECK_EQUAL(bed.lists[0]->count, 0);
    CHECK_EQUAL(bed.lists[1]->count, 1);
    CHECK_EQUAL(bed.lists[2]->count, 2);
    bed_check_counts(&bed);
    match_index_forget(bed.index, SPAN(":1.8"));
    bed_sweep(&bed);
    CHECK_EQUAL(bed.lists[2]->count, 1);
    bed_free(&bed);
}

static void removal_takes_the_latest_of_equal_rules(void)
{
    struct bed bed;
    char text[64];
    REQUIRE(bed_make(&bed));
    rule_add(bed.index, bed.lists[0], "member=M");
    rule_add(bed.index, bed.lists[1], "member=M");
    rule_add(bed.index, bed.lists[0], "member=N");
    rule_add(bed.index, bed.lists[0], "member=M");
    CHECK(rule_drop(bed.index, bed.lists[0], " member='M',"));
    match_rule_text(bed.lists[0]->last, text, sizeof(text));
    CHECK_SPAN(span_of(text), "member='N'");
    CHECK(rule_drop(bed.index, bed.lists[0], "member=M"));
    CHECK(!rule_drop(bed.index, bed.lists[0], "member=M"));
    CHECK(!rule_drop(bed.index, bed.lists[0], "member=O"));
    CHECK(!rule_drop(bed.index, bed.lists[0], "member=N,interface=i.f"));
    CHECK_EQUAL(bed.lists[1]->count, 1);
    bed_check_counts(&bed);
    bed_free(&bed);
}

/* The rules of a departed peer neither match nor count, even before they are removed. */
static void rules_of_departed_peers_match_nothing(void)
{
    struct bed bed;
    struct message m;
    struct match_message row = {MESSAGE_SIGNAL, "/a", "i.f", "M", NULL, {{0}}};
    REQUIRE(bed_make(&bed));
    for (unsigned i = 0; i < 3; i++) {
        REQUIRE(rule_add(bed.index, bed.lists[i], "member=M"));
        REQUIRE(rule_add(bed.index, bed.lists[i], "member=M,eavesdrop=true"));
    }
    bed_renew(&bed, 1);
    CHECK_EQUAL(match_index_count(bed.index), 4);
    CHECK_EQUAL(match_index_eavesdroppers(bed.index), 2);
    REQUIRE(match_message(&row, &m));
    struct match_subject subject = subject_of(&m);
    bed_find(&bed, &subject);
    CHECK_EQUAL(bed.visits[0], 2);
    CHECK_EQUAL(bed.visits[1], 0);
    bed_sweep(&bed);
    CHECK(match_index_is_swept(bed.index));
    bed_check_counts(&bed);
    bed_find(&bed, &subject);
    bed_free(&bed);
}

/* Each addition removes two rules of departed peers, so that these can't accumulate. */
static void adding_rules_sweeps_departed_ones(void)
{
    struct bed bed;
    char text[64];
    REQUIRE(bed_make(&bed));
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(text, sizeof(text), "arg0path='/%u/'", i);
        REQUIRE(rule_add(bed.index, bed.lists[0], text));
    }
    bed_renew(&bed, 0);
    for (unsigned i = 0; i < 501; i++) {
        CHECK(!match_index_is_swept(bed.index));
        REQUIRE(rule_add(bed.index, bed.lists[1], "member=M"));
    }
    CHECK(match_index_is_swept(bed.index));
    CHECK(!bed.index->paths.root);
    bed_free(&bed);
}

/* However often it was added: a message visits it once, and removing it takes no search. */
static void equal_rules_of_one_peer_are_stored_once(void)
{
    struct bed bed;
    struct message m;
    struct match_message row = {MESSAGE_SIGNAL, "/a", "i.f", "M", NULL, {{0}}};
    REQUIRE(bed_make(&bed));
    for (unsigned i = 0; i < 10000; i++)
        REQUIRE(rule_add(bed.index, bed.lists[i % 2], i % 4 < 2 ? "member=M" : "member=N"));
    CHECK_EQUAL(bed.lists[0]->count, 5000);
    CHECK_EQUAL(bed.index->rules.count, 4);
    REQUIRE(match_message(&row, &m));
    struct match_subject subject = subject_of(&m);
    bed_find(&bed, &subject);
    CHECK_EQUAL(bed.visits[0], 1);
    for (unsigned i = 0; i < 2500; i++)
        CHECK(rule_drop(bed.index, bed.lists[0], "member=M"));
    CHECK(!rule_drop(bed.index, bed.lists[0], "member=M"));
    bed_check_counts(&bed);
    bed_find(&bed, &subject);
    CHECK_EQUAL(bed.visits[0], 0);
    CHECK_EQUAL(bed.visits[1], 1);
    bed_free(&bed);
}

static bool owns_s_two(const void *registry, const void *peer, struct span name)
{
    CHECK(registry == peer);
    return span_equal(name, SPAN("s.two"));
}

/* For a sender with too many names to list, the names in rules are looked up. */
static void sender_with_many_names_is_matched(void)
{
    struct bed bed;
    struct message m;
    struct match_message row = {MESSAGE_SIGNAL, "/a", "i.f", "M", NULL, {{0}}};
    REQUIRE(bed_make(&bed));
    rule_add(bed.index, bed.lists[0], "sender=s.one");
    rule_add(bed.index, bed.lists[1], "sender=s.two");
    rule_add(bed.index, bed.lists[2], "sender=:1.7,member=M");
    rule_add(bed.index, bed.lists[3], "sender=s.two,member=N");
    REQUIRE(match_message(&row, &m));
    struct match_subject subject = subject_of(&m);
    subject.n_sender_names = 1;
    subject.names = subject.sender = &bed;
    subject.owns = owns_s_two;
    bed_find(&bed, &subject);
    CHECK_EQUAL(bed.visits[0] + bed.visits[3], 0);
    CHECK_EQUAL(bed.visits[1], 1);
    CHECK_EQUAL(bed.visits[2], 1);
    bed_free(&bed);
}

static uint32_t depth(const struct match_path *tree)
{
    if (!tree)
        return 0;
    uint32_t before = depth(tree->before), after = depth(tree->after);
    return 1 + (before > after ? before : after);
}

/* Values in ascending order, each a prefix of the next, or random: the tree is as deep as for random keys. */
static void tree_of_paths_stays_shallow(void)
{
    static const char *const ways[] = {"arg0path='/%08u'", "arg%upath='/x'", "arg0path='/%x/y/z/'"};
    for (size_t way = 0; way < CHECK_COUNT(ways); way++) {
        struct bed bed;
        char text[64];
        REQUIRE(bed_make(&bed));
        for (unsigned i = 0; i < 20000; i++) {
            snprintf(text, sizeof(text), ways[way], way == 1 ? i % 64 : way == 2 ? i * 2654435761u : i);
            REQUIRE(rule_add(bed.index, bed.lists[i % LISTS], text));
        }
        CHECK(depth(bed.index->paths.root) < 60); /* random keys: 33 or so */
        bed_renew(&bed, 0);
        bed_sweep(&bed);
        CHECK(depth(bed.index->paths.root) < 60);
        bed_free(&bed);
    }
}

/* An argument that ends in '/' finds all paths below it, after any changes. */
static void path_argument_finds_all_paths_below(void)
{
    struct bed bed;
    struct message m;
    char text[64];
    REQUIRE(bed_make(&bed));
    for (unsigned i = 0; i < 600; i++) {
        snprintf(text, sizeof(text), "arg0path='/%c/%u'", 'a' + i % 3, i * 2654435761u);
        REQUIRE(rule_add(bed.index, bed.lists[i % LISTS], text));
    }
    struct match_message row = {MESSAGE_SIGNAL, "/", "i.f", "M", NULL, {{'s', "/b/"}}};
    for (unsigned i = 0; i < LISTS; i++) {
        REQUIRE(match_message(&row, &m));
        struct match_subject subject = subject_of(&m);
        bed_find(&bed, &subject);
        CHECK_EQUAL(bed.visits[i], i % 3 == 1 ? 50 : 0);
        bed_renew(&bed, i);
    }
    bed_free(&bed);
}

static void combinations_of_prefixes_are_bounded(void)
{
    struct bed bed;
    struct message m;
    char path[1200] = "", rule[1024];
    REQUIRE(bed_make(&bed));
    for (unsigned i = 1; i <= 450; i++) {
        strcat(path, "/a");
        snprintf(rule, sizeof(rule), "path_namespace=%s", path);
        REQUIRE(rule_add(bed.index, bed.lists[0], rule));
        if (i > 240)
            continue;
        snprintf(rule, sizeof(rule), "path_namespace=%s,arg0path=%s/,arg1path=%s/", path, path, path);
        rule_add(bed.index, bed.lists[1], rule);
    }
    struct match_message row = {MESSAGE_SIGNAL, path, "i.f", "M", NULL, {{'s', path}, {'s', path}}};
    REQUIRE(match_message(&row, &m));
    struct match_subject subject = subject_of(&m);
    bed_find(&bed, &subject);
    CHECK_EQUAL(bed.visits[0], 450);
    CHECK(bed.visits[1] > 100);
    bed_free(&bed);
}

static void all_64_arguments_are_distinguished(void)
{
    struct match_index *index;
    uint32_t visits = 0;
    struct match_list list = {.owner = &visits};
    struct message m;
    char signature[71];
    memset(signature, 's', 70);
    signature[70] = '\0';
    marshal_begin(&match_message_writer, &(struct marshal_header){.type = MESSAGE_SIGNAL,
                                                                  .serial = 1,
                                                                  .path = SPAN("/"),
                                                                  .interface = SPAN("i.f"),
                                                                  .member = SPAN("M"),
                                                                  .signature = span_of(signature)});
    for (unsigned i = 0; i < 70; i++)
        marshal_string(&match_message_writer, i == 63 ? SPAN("last") : SPAN("other"));
    REQUIRE(marshal_end(&match_message_writer));
    REQUIRE(message_parse(&m, match_message_writer.data, (uint32_t)match_message_writer.size) == MESSAGE_OK);
    REQUIRE(match_index_new(&index) == 0);
    REQUIRE(rule_add(index, &list, "arg63=last,arg62=other") && rule_add(index, &list, "arg62=last"));
    struct match_subject subject = subject_of(&m);
    match_index_find(index, &subject, count_visit, NULL);
    CHECK_EQUAL(visits, 1);
    match_index_free(index);
}

static const struct check_test tests[] = {
    TEST(index_finds_the_rules_of_a_linear_search), TEST(rules_naming_a_departed_peer_are_removed),
    TEST(removal_takes_the_latest_of_equal_rules),  TEST(combinations_of_prefixes_are_bounded),
    TEST(all_64_arguments_are_distinguished),       TEST(rules_of_departed_peers_match_nothing),
    TEST(adding_rules_sweeps_departed_ones),        TEST(tree_of_paths_stays_shallow),
    TEST(path_argument_finds_all_paths_below),      TEST(equal_rules_of_one_peer_are_stored_once),
    TEST(sender_with_many_names_is_matched),
};

int main(int argc, char **argv)
{
    int result = check_main(tests, CHECK_COUNT(tests), argc, argv);
    marshal_free(&match_message_writer);
    return result;
}
