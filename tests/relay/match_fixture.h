/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TEST_MATCH_FIXTURE_H
#define OMNIBUS_TEST_MATCH_FIXTURE_H

#include "../../transport/relay/match/match_internal.h"
#include "../../transport/relay/wire/marshal.h"
#include "check.h"

#define MATCH_MESSAGE_ARGS 4

struct arg {
    char type; /* 's', 'o', 'g', 'u' (a 7), or 'a' for an "as" that holds the text */
    const char *text;
};

/* A message as a table row. */
struct match_message {
    uint8_t type;
    const char *path, *interface, *member, *destination;
    struct arg args[MATCH_MESSAGE_ARGS]; /* ends with type 0 */
};

static struct marshal match_message_writer;

static inline void match_message_signature(const struct match_message *row, char *out)
{
    for (unsigned i = 0; i < MATCH_MESSAGE_ARGS && row->args[i].type; i++) {
        *out++ = row->args[i].type;
        if (row->args[i].type == 'a')
            *out++ = 's';
    }
    *out = '\0';
}

static inline void match_message_body(const struct match_message *row)
{
    for (unsigned i = 0; i < MATCH_MESSAGE_ARGS && row->args[i].type; i++) {
        struct span text = span_of(row->args[i].text);
        if (row->args[i].type == 'u')
            marshal_uint32(&match_message_writer, 7);
        else if (row->args[i].type == 'a')
            marshal_string_array(&match_message_writer, &text, 1);
        else if (row->args[i].type == 'g')
            marshal_signature(&match_message_writer, text);
        else
            marshal_string(&match_message_writer, text);
    }
}

/* Builds the message, which is valid until the next one is built. False: it is malformed. */
static inline bool match_message(const struct match_message *row, struct message *m)
{
    char signature[2 * MATCH_MESSAGE_ARGS + 1];
    match_message_signature(row, signature);
    struct marshal_header header = {
        .type = row->type,
        .serial = 1,
        .reply_serial = row->type == MESSAGE_METHOD_RETURN || row->type == MESSAGE_ERROR,
        .path = span_of(row->path),
        .interface = span_of(row->interface),
        .member = span_of(row->member),
        .error_name = span_of(row->type == MESSAGE_ERROR ? "e.r" : NULL),
        .destination = span_of(row->destination),
        .signature = span_of(signature[0] ? signature : NULL),
    };
    marshal_begin(&match_message_writer, &header);
    match_message_body(row);
    return marshal_end(&match_message_writer) &&
           message_parse(m, match_message_writer.data, (uint32_t)match_message_writer.size) == MESSAGE_OK;
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
static const struct span match_sender_names[] = {SPAN(":1.7"), SPAN("s.one"), SPAN("s.two")};
static const struct span match_recipient_names[] = {SPAN(":1.9"), SPAN("d.one")};

static inline struct match_subject subject_of(const struct message *m)
{
    return (struct match_subject){
        .m = m,
        .sender_names = match_sender_names,
        .n_sender_names = CHECK_COUNT(match_sender_names),
        .recipient_names = match_recipient_names,
        .n_recipient_names = m->destination.s ? CHECK_COUNT(match_recipient_names) : 0,
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
