/* SPDX-License-Identifier: MIT */
#include "command_line.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Words are never longer than their source, so one allocation at the start holds all. */
struct splitter {
    const char *at;
    char *to;     /* the place of the next character */
    char **words; /* the start of the present word */
    bool begun;   /* the present word has begun, possibly with an empty pair of quotes */
};

static void end_word(struct splitter *s)
{
    *s->to++ = '\0';
    *s->words++ = s->to;
    s->begun = false;
}

static void put(struct splitter *s, char c)
{
    *s->to++ = c;
    s->begun = true;
}

/* at: after the backslash */
static bool read_escaped(struct splitter *s)
{
    if (*s->at == '\0')
        return false;
    if (*s->at != '\n')
        put(s, *s->at);
    s->at++;
    return true;
}

/* at: after the quote */
static bool read_quoted(struct splitter *s, char quote)
{
    s->begun = true;
    for (; *s->at != quote; s->at++) {
        if (*s->at == '\0')
            return false;
        if (quote == '"' && *s->at == '\\') {
            if (s->at[1] == '\0')
                return false;
            if (!strchr("\"\\`$\n", s->at[1]))
                put(s, '\\');
            s->at++;
        }
        put(s, *s->at);
    }
    s->at++;
    return true;
}

/* at: after the #; the end of the line is part of the comment */
static bool read_comment(struct splitter *s)
{
    if (*s->at == '\0')
        return false;
    s->at += strcspn(s->at, "\n");
    s->at += *s->at == '\n';
    return true;
}

static bool read_next(struct splitter *s)
{
    char c = *s->at++;
    switch (c) {
    case '\n':
        end_word(s);
        return true;
    case ' ':
    case '\t':
        if (s->begun)
            end_word(s);
        return true;
    case '\\':
        return read_escaped(s);
    case '#':
        return read_comment(s);
    case '\'':
    case '"':
        return read_quoted(s, c);
    default:
        put(s, c);
        return true;
    }
}

int command_line_split(const char *text, char ***argv)
{
    size_t length = strlen(text);
    if (length > (SIZE_MAX - 64) / (sizeof(char *) + 2))
        return -ENOMEM;
    /* at most one word per character, one more at the end, and NULL */
    size_t n = length + 2;
    char **words = calloc(1, n * sizeof(char *) + 2 * n);
    if (!words)
        return -ENOMEM;
    struct splitter s = {.at = text, .to = (char *)(words + n), .words = words};
    *s.words++ = s.to;
    while (*s.at) {
        if (!read_next(&s)) {
            free(words);
            return -EINVAL;
        }
    }
    *s.to = '\0';
    *s.words = NULL;
    *argv = words;
    return 0;
}
