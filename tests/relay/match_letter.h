/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TEST_MATCH_LETTER_H
#define OMNIBUS_TEST_MATCH_LETTER_H

#include "../../transport/relay/match/match_internal.h"
#include "../../transport/relay/wire/marshal.h"
#include "check.h"

#define LETTER_ARGS 4

struct arg {
    char type; /* 's', 'o', 'g', 'u' (a 7), or 'a' for an "as" that holds the text */
    const char *text;
};

/* A message in short. */
struct letter {
    uint8_t type;
    const char *path, *interface, *member, *destination;
    struct arg args[LETTER_ARGS]; /* type 0: no more */
};

static struct marshal letter_writer;

static inline void letter_signature(const struct letter *letter, char *out)
{
    for (unsigned i = 0; i < LETTER_ARGS && letter->args[i].type; i++) {
        *out++ = letter->args[i].type;
        if (letter->args[i].type == 'a')
            *out++ = 's';
    }
    *out = '\0';
}

static inline void letter_body(const struct letter *letter)
{
    for (unsigned i = 0; i < LETTER_ARGS && letter->args[i].type; i++) {
        struct span text = span_of(letter->args[i].text);
        if (letter->args[i].type == 'u')
            marshal_uint32(&letter_writer, 7);
        else if (letter->args[i].type == 'a')
            marshal_string_array(&letter_writer, &text, 1);
        else if (letter->args[i].type == 'g')
            marshal_signature(&letter_writer, text);
        else
            marshal_string(&letter_writer, text);
    }
}

/* The message of a letter; it stands until the next one is made. False: that is no valid message. */
static inline bool letter_message(const struct letter *letter, struct message *m)
{
    char signature[2 * LETTER_ARGS + 1];
    letter_signature(letter, signature);
    struct marshal_header header = {
        .type = letter->type,
        .serial = 1,
        .reply_serial = letter->type == MESSAGE_METHOD_RETURN || letter->type == MESSAGE_ERROR,
        .path = span_of(letter->path),
        .interface = span_of(letter->interface),
        .member = span_of(letter->member),
        .error_name = span_of(letter->type == MESSAGE_ERROR ? "e.r" : NULL),
        .destination = span_of(letter->destination),
        .signature = span_of(signature[0] ? signature : NULL),
    };
    marshal_begin(&letter_writer, &header);
    letter_body(letter);
    return marshal_end(&letter_writer) &&
           message_parse(m, letter_writer.data, (uint32_t)letter_writer.size) == MESSAGE_OK;
}

static inline struct match_rule *rule_new(const char *text)
{
    char why[2048];
    struct match_rule *rule;
    return match_rule_parse(span_of(text), &rule, why, sizeof(why)) == 0 ? rule : NULL;
}

static inline bool rule_add(struct match_index *index, struct match_list *list, const char *text)
{
    struct match_rule *rule = rule_new(text);
    return rule && match_index_add(index, list, rule);
}

static inline bool rule_drop(struct match_index *index, struct match_list *list, const char *text)
{
    struct match_rule *like = rule_new(text);
    bool removed = like && match_index_remove(index, list, like);
    match_rule_free(like);
    return removed;
}

/* A message comes from :1.7, and goes to :1.9 unless it is a broadcast. */
static const struct span letter_sender[] = {SPAN(":1.7"), SPAN("s.one"), SPAN("s.two")};
static const struct span letter_recipient[] = {SPAN(":1.9"), SPAN("d.one")};

static inline struct match_subject subject_of(const struct message *m)
{
    return (struct match_subject){
        .m = m,
        .sender_names = letter_sender,
        .n_sender_names = CHECK_COUNT(letter_sender),
        .recipient_names = letter_recipient,
        .n_recipient_names = m->destination.s ? CHECK_COUNT(letter_recipient) : 0,
        .eavesdropping = m->destination.s != NULL,
    };
}

/* The owner of a list is a counter here. */
static inline void count_visit(void *context, void *owner)
{
    (void)context;
    ++*(uint32_t *)owner;
}

/* How many rules of a list match, one by one. */
static inline uint32_t count_matches(const struct match_list *list, const struct match_subject *subject)
{
    uint32_t n = 0;
    for (const struct match_rule *rule = list->first; rule; rule = rule->next)
        n += match_pattern_matches(rule->pattern, subject);
    return n;
}

#endif
