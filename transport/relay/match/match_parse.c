/* SPDX-License-Identifier: MIT */
#include "match/match_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* D-Bus specification, "Match Rules". Where the reference is more lenient, the reference decides. */

struct token {
    struct span key, value;
};

struct reading {
    const char *at, *end;
    char *value; /* where the next value is unquoted to; the length of the text is enough for all */
    struct token tokens[MATCH_MAX_KEYS + 1];
    unsigned n_tokens, max_tokens;
    struct match_form form;
    struct span values[MATCH_MAX_KEYS]; /* by key of the form */
    char *why;
    size_t why_size;
};

__attribute__((format(printf, 2, 3))) static int invalid(const struct reading *r, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(r->why, r->why_size, format, arguments);
    va_end(arguments);
    return -EINVAL;
}

#define TEXT(span) (int)(span).n, (span).s

static bool is_white(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_white(struct reading *r)
{
    while (r->at < r->end && is_white(*r->at))
        r->at++;
}

/* Sets an empty key at the end of the text, or at an '=' without a key. */
static int read_key(struct reading *r, struct span *key)
{
    skip_white(r);
    const char *start = r->at;
    while (r->at < r->end && *r->at != '=' && !is_white(*r->at))
        r->at++;
    *key = (struct span){start, (uint32_t)(r->at - start)};
    skip_white(r);
    if (key->n == 0)
        return 0;
    if (r->at == r->end || *r->at != '=')
        return invalid(r, "Match rule has a key with no subsequent '=' character");
    r->at++;
    return 0;
}

/* Reads the usual value, quoted once as a whole, without copying it. */
static bool read_quoted(struct reading *r, struct span *value)
{
    if (r->at == r->end || *r->at != '\'')
        return false;
    const char *start = r->at + 1, *close = memchr(start, '\'', (size_t)(r->end - start));
    if (!close || (close + 1 < r->end && close[1] != ','))
        return false;
    *value = (struct span){start, (uint32_t)(close - start)};
    r->at = close + 1 < r->end ? close + 2 : r->end;
    return true;
}

/*
 * Reads up to a comma outside quotes. A backslash is literal, unless it precedes an apostrophe outside
 * quotes.
 */
static int match_parse_read_value(struct reading *r, struct span *value)
{
    if (read_quoted(r, value))
        return 0;
    char *out = r->value;
    bool quoted = false;
    for (; r->at < r->end && (quoted || *r->at != ','); r->at++) {
        if (*r->at == '\'') {
            quoted = !quoted;
            continue;
        }
        if (!quoted && *r->at == '\\' && r->at + 1 < r->end) {
            r->at++;
            if (*r->at != '\'')
                *out++ = '\\';
        }
        *out++ = *r->at;
    }
    if (quoted)
        return invalid(r, "Unbalanced quotation marks in match rule");
    if (r->at < r->end)
        r->at++; /* skips the comma */
    *value = (struct span){r->value, (uint32_t)(out - r->value)};
    r->value = out;
    return 0;
}

/* Splits the whole rule before any of it is interpreted, which fixes the order of errors. */
static int read_tokens(struct reading *r)
{
    while (r->at < r->end && r->n_tokens < r->max_tokens) {
        struct token *token = &r->tokens[r->n_tokens];
        int error = read_key(r, &token->key);
        if (error)
            return error;
        if (token->key.n == 0)
            return 0; /* the text after an '=' without a key is ignored */
        error = match_parse_read_value(r, &token->value);
        if (error)
            return error;
        r->n_tokens++;
    }
    return 0;
}

static bool has_key(const struct reading *r, uint8_t key)
{
    return memchr(r->form.keys, key, r->form.n) != NULL;
}

/* Appends a key: at most one for each token, so there is room unless there is one token more. */
static int match_parse_add_key(struct reading *r, uint8_t key, struct span value)
{
    if (r->form.n == MATCH_MAX_KEYS)
        return invalid(r, "Too many keys in match rule");
    unsigned i = r->form.n++;
    for (; i > 0 && r->form.keys[i - 1] > key; i--) {
        r->form.keys[i] = r->form.keys[i - 1];
        r->values[i] = r->values[i - 1];
    }
    r->form.keys[i] = key;
    r->values[i] = value;
    return 0;
}

static int understand_type(struct reading *r, const struct token *token)
{
    static const struct span names[] = {
        {NULL, 0}, {"method_call", 11}, {"method_return", 13}, {"error", 5}, {"signal", 6}};
    if (r->form.type)
        return invalid(r, "Key %.*s specified twice in match rule\n", TEXT(token->key));
    for (unsigned type = MESSAGE_METHOD_CALL; type <= MESSAGE_SIGNAL; type++) {
        if (span_equal(token->value, names[type]))
            r->form.type = (uint8_t)type;
    }
    if (!r->form.type)
        return invalid(r, "Invalid message type (%.*s) in match rule\n", TEXT(token->value));
    return 0;
}

static int understand_eavesdrop(struct reading *r, const struct token *token)
{
    /* may be repeated: the last one counts */
    if (!span_equal(token->value, SPAN("true")) && !span_equal(token->value, SPAN("false")))
        return invalid(r, "eavesdrop='%.*s' is invalid, it should be 'true' or 'false'\n",
                       TEXT(token->value));
    r->form.eavesdrop = span_equal(token->value, SPAN("true"));
    return 0;
}

struct field {
    struct span name;
    const char *what;
    enum match_key key;
    bool (*is_valid)(struct span value);
};

static const struct field fields[] = {
    {{"sender", 6}, "Sender name", KEY_SENDER, name_is_bus_name},
    {{"interface", 9}, "Interface name", KEY_INTERFACE, name_is_interface},
    {{"member", 6}, "Member name", KEY_MEMBER, name_is_member},
    {{"path", 4}, "Path", KEY_PATH, name_is_path},
    {{"path_namespace", 14}, "Path", KEY_PATH_NAMESPACE, name_is_path},
    {{"destination", 11}, "Destination name", KEY_DESTINATION, name_is_bus_name},
};

static int understand_field(struct reading *r, const struct token *token, const struct field *field)
{
    bool is_path = field->key == KEY_PATH || field->key == KEY_PATH_NAMESPACE;
    if (is_path && (has_key(r, KEY_PATH) || has_key(r, KEY_PATH_NAMESPACE)))
        return invalid(r, "path or path_namespace specified twice in match rule\n");
    if (has_key(r, (uint8_t)field->key))
        return invalid(r, "Key %.*s specified twice in match rule\n", TEXT(token->key));
    if (!field->is_valid(token->value))
        return invalid(r, "%s '%.*s' is invalid\n", field->what, TEXT(token->value));
    return match_parse_add_key(r, (uint8_t)field->key, token->value);
}

/* Reads the number as strtoul does, so arg0x10 is arg16; then nothing, "path" or "namespace". */
static int understand_arg(struct reading *r, const struct token *token)
{
    char key[MATCH_MAX_CANONICAL + 1];
    memcpy(key, token->key.s, token->key.n);
    key[token->key.n] = '\0';
    if (token->key.n < 4)
        return invalid(r,
                       "Key '%s' in match rule starts with 'arg' but lacks an arg number. Should be 'arg0' "
                       "or 'arg7' for example.\n",
                       key);
    char *rest;
    errno = 0;
    unsigned long number = strtoul(key + 3, &rest, 0);
    if (rest == key + 3 || errno)
        return invalid(r,
                       "Key '%s' in match rule starts with 'arg' but could not parse arg number. Should be "
                       "'arg0' or 'arg7' for example.\n",
                       key);
    enum match_arg_kind kind = ARG_STRING;
    if (strcmp(rest, "path") == 0)
        kind = ARG_PATH;
    else if (strcmp(key, "arg0namespace") == 0)
        kind = ARG_NAMESPACE;
    else if (*rest)
        return invalid(r,
                       "Key '%s' in match rule contains junk after argument number (%lu). Only 'arg%lupath' "
                       "(for example) or 'arg0namespace' are valid",
                       key, number, number);
    if (kind == ARG_NAMESPACE && !name_is_namespace(token->value))
        return invalid(r, "arg0namespace='%.*s' is not a valid prefix of a bus name", TEXT(token->value));
    if (number >= MESSAGE_MAX_MATCH_ARGS)
        return invalid(r, "Key '%s' in match rule has arg number %lu but the maximum is %u.\n", key, number,
                       MESSAGE_MAX_MATCH_ARGS - 1);
    for (unsigned other = ARG_STRING; other <= ARG_NAMESPACE; other++) {
        if (has_key(r, match_arg_key((unsigned)number, (enum match_arg_kind)other)))
            return invalid(r, "Argument %s matched more than once in match rule\n", key);
    }
    return match_parse_add_key(r, match_arg_key((unsigned)number, kind), token->value);
}

static int understand(struct reading *r, const struct token *token)
{
    if (span_equal(token->key, SPAN("type")))
        return understand_type(r, token);
    if (span_equal(token->key, SPAN("eavesdrop")))
        return understand_eavesdrop(r, token);
    for (unsigned i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        if (span_equal(token->key, fields[i].name))
            return understand_field(r, token, &fields[i]);
    }
    if (span_starts(token->key, SPAN("arg")))
        return understand_arg(r, token);
    return invalid(r, "Unknown key \"%.*s\" in match rule", TEXT(token->key));
}

static int parse_rule(struct reading *r, struct span text, struct match_rule **rule)
{
    r->at = text.s;
    r->end = text.s ? text.s + strnlen(text.s, text.n) : NULL;
    int error = read_tokens(r);
    for (unsigned i = 0; !error && i < r->n_tokens; i++)
        error = understand(r, &r->tokens[i]);
    if (error)
        return error;
    *rule = match_rule_new(&r->form, r->values);
    return *rule ? 0 : -ENOMEM;
}

int match_rule_parse(struct span text, struct match_rule **rule, char *why, size_t why_size)
{
    char values[MATCH_MAX_RULE_TEXT];
    struct reading r = {.value = values, .max_tokens = MATCH_MAX_KEYS, .why = why, .why_size = why_size};
    *rule = NULL;
    if (text.n > MATCH_MAX_RULE_TEXT) {
        invalid(&r, "Match rule text is %u bytes, maximum is %u", text.n, MATCH_MAX_RULE_TEXT);
        return -E2BIG;
    }
    return parse_rule(&r, text, rule);
}

int match_rule_parse_canonical(struct span text, struct match_rule **rule)
{
    char values[MATCH_MAX_CANONICAL];
    struct reading r = {.value = values, .max_tokens = MATCH_MAX_KEYS + 1};
    *rule = NULL;
    return text.n > MATCH_MAX_CANONICAL ? -EINVAL : parse_rule(&r, text, rule);
}
