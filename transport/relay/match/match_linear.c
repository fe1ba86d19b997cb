/* SPDX-License-Identifier: MIT */
#include "match/match_internal.h"

/* Matching rule by rule and text by text: the definition of what the index must find. */

static bool is_among(struct span value, const struct span *names, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (span_equal(value, names[i]))
            return true;
    }
    return false;
}

static bool is_sender(const struct match_subject *subject, struct span value)
{
    return is_among(value, subject->sender_names, subject->n_sender_names) ||
           (subject->sender && subject->owns(subject->names, subject->sender, value));
}

static bool is_recipient(const struct match_subject *subject, struct span value)
{
    return is_among(value, subject->recipient_names, subject->n_recipient_names) ||
           (subject->recipient && subject->owns(subject->names, subject->recipient, value));
}

static bool path_matches_namespace(struct span path, struct span namespace)
{
    if (!path.s)
        return false;
    return namespace.n == 1 || span_below(path, namespace, '/'); /* every path is below "/" */
}

static bool destination_matches(const struct match_subject *subject, struct span value)
{
    if (!subject->eavesdropping)
        return false;
    if (subject->n_recipient_names)
        return is_recipient(subject, value);
    return subject->m->destination.s && span_equal(value, subject->m->destination);
}

_Static_assert(KEY_ARGS == 6 && ARG_KINDS == ARG_NAMESPACE + 1,
               "each key needs a case here, besides KEY_DESTINATION");

static bool field_matches(const struct match_subject *subject, uint8_t key, struct span value)
{
    const struct message *m = subject->m;
    switch (key) {
    case KEY_INTERFACE:
        return m->interface.s && span_equal(m->interface, value);
    case KEY_MEMBER:
        return m->member.s && span_equal(m->member, value);
    case KEY_PATH:
        return m->path.s && span_equal(m->path, value);
    case KEY_PATH_NAMESPACE:
        return path_matches_namespace(m->path, value);
    case KEY_SENDER:
        return is_sender(subject, value);
    default:
        return destination_matches(subject, value);
    }
}

/* True if both are equal, or if the shorter one ends in '/' and is a prefix of the other. */
static bool path_arg_matches(struct span actual, struct span value)
{
    struct span shorter = actual.n < value.n ? actual : value;
    struct span longer = actual.n < value.n ? value : actual;
    if (shorter.n < longer.n && (shorter.n == 0 || shorter.s[shorter.n - 1] != '/'))
        return false;
    return span_starts(longer, shorter);
}

static bool arg_matches(const struct message_arg *arg, uint8_t key, struct span value)
{
    switch (match_arg_kind(key)) {
    case ARG_STRING:
        return arg->type == 's' && span_equal(arg->text, value);
    case ARG_PATH:
        return (arg->type == 's' || arg->type == 'o') && path_arg_matches(arg->text, value);
    case ARG_NAMESPACE:
    default:
        return arg->type == 's' && span_below(arg->text, value, '.');
    }
}

/* Compares the keys from i on, which are those of arguments, ascending. */
static bool args_match(const struct match_pattern *pattern, unsigned i, const struct message *m)
{
    struct message_args args;
    struct message_arg arg;
    message_args_begin(&args, m);
    for (unsigned number = 0; i < pattern->form.n; number++) {
        if (!message_args_next(&args, &arg))
            return false;
        if (number != match_arg_number(pattern->form.keys[i]))
            continue;
        if (!arg_matches(&arg, pattern->form.keys[i], symbol_span(pattern->values[i])))
            return false;
        i++;
    }
    return true;
}

bool match_pattern_matches(const struct match_pattern *pattern, const struct match_subject *subject)
{
    const struct match_form *form = &pattern->form;
    if (form->type && form->type != subject->m->type)
        return false;
    if (subject->eavesdropping && !form->eavesdrop)
        return false;
    unsigned i = 0;
    for (; i < form->n && form->keys[i] < KEY_ARGS; i++) {
        if (!field_matches(subject, form->keys[i], symbol_span(pattern->values[i])))
            return false;
    }
    return i == form->n || args_match(pattern, i, subject->m);
}

bool match_list_matches(const struct match_list *list, const struct match_subject *subject)
{
    for (const struct match_rule *rule = list->first; rule; rule = rule->next) {
        if (match_pattern_matches(rule->pattern, subject))
            return true;
    }
    return false;
}
