/* SPDX-License-Identifier: MIT */
#include "xml.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SIZE 64u

struct element {
    char name[NAME_SIZE];
    char *text; /* has room for the rest of the input */
    size_t length;
};

struct xml {
    const struct xml_handler *handler;
    const char *at, *end;
    struct element stack[XML_DEPTH];
    size_t depth;
    bool done; /* the root has ended */
};

static bool starts_with(const struct xml *x, const char *text)
{
    size_t length = strlen(text);
    return (size_t)(x->end - x->at) >= length && memcmp(x->at, text, length) == 0;
}

/* Skips to the end of the next occurrence of text. */
static bool skip_behind(struct xml *x, const char *text)
{
    for (; x->at < x->end; x->at++) {
        if (starts_with(x, text)) {
            x->at += strlen(text);
            return true;
        }
    }
    return false;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_space(struct xml *x)
{
    while (x->at < x->end && is_space(*x->at))
        x->at++;
}

static bool read_name(struct xml *x, char name[NAME_SIZE])
{
    size_t n = 0;
    if (x->at < x->end && (*x->at == '!' || *x->at == '?'))
        return false;
    while (x->at < x->end && !is_space(*x->at) && !strchr("<>/=\"'&", *x->at) && n < NAME_SIZE - 1)
        name[n++] = *x->at++;
    name[n] = '\0';
    return n > 0 && n < NAME_SIZE - 1;
}

static int put(struct xml *x, char c)
{
    if (c == '\0')
        return -EINVAL;
    if (x->depth == 0)
        return is_space(c) ? 0 : -EINVAL;
    struct element *element = &x->stack[x->depth - 1];
    element->text[element->length++] = c;
    return 0;
}

/* at: after the & */
static int read_entity(struct xml *x)
{
    static const struct {
        const char *name;
        char meaning;
    } entities[] = {{"lt;", '<'}, {"gt;", '>'}, {"amp;", '&'}, {"quot;", '"'}, {"apos;", '\''}};
    for (size_t i = 0; i < sizeof(entities) / sizeof(*entities); i++) {
        if (starts_with(x, entities[i].name)) {
            x->at += strlen(entities[i].name);
            return x->depth ? put(x, entities[i].meaning) : -EINVAL;
        }
    }
    return -EINVAL;
}

static bool skip_attributes(struct xml *x, bool *empty)
{
    *empty = false;
    for (;;) {
        char name[NAME_SIZE];
        skip_space(x);
        *empty = x->at < x->end && *x->at == '/';
        x->at += *empty;
        if (x->at < x->end && *x->at == '>') {
            x->at++;
            return true;
        }
        if (*empty || !read_name(x, name))
            return false;
        skip_space(x);
        if (x->at == x->end || *x->at++ != '=')
            return false;
        skip_space(x);
        if (x->at == x->end || (*x->at != '"' && *x->at != '\''))
            return false;
        const char quote[] = {*x->at++, '\0'};
        if (!skip_behind(x, quote))
            return false;
    }
}

static int end_element(struct xml *x)
{
    struct element *element = &x->stack[x->depth - 1];
    element->text[element->length] = '\0';
    int error = x->handler->ended(x->handler->context, x->depth, element->name, element->text);
    free(element->text);
    element->text = NULL;
    x->depth--;
    x->done = x->depth == 0;
    return error;
}

static int start_element(struct xml *x)
{
    bool empty;
    if (x->depth == XML_DEPTH || x->done)
        return -EINVAL;
    struct element *element = &x->stack[x->depth];
    if (!read_name(x, element->name) || !skip_attributes(x, &empty))
        return -EINVAL;
    element->length = 0;
    element->text = malloc((size_t)(x->end - x->at) + 1);
    if (!element->text)
        return -ENOMEM;
    x->depth++;
    return empty ? end_element(x) : 0;
}

/* at: after the </ */
static int read_end(struct xml *x)
{
    char name[NAME_SIZE];
    if (!read_name(x, name) || x->depth == 0 || strcmp(name, x->stack[x->depth - 1].name) != 0)
        return -EINVAL;
    skip_space(x);
    if (x->at == x->end || *x->at++ != '>')
        return -EINVAL;
    return end_element(x);
}

static bool skip_doctype(struct xml *x)
{
    if (x->depth || x->done)
        return false;
    for (; x->at < x->end && *x->at != '>'; x->at++) {
        const char quote[] = {*x->at, '\0'};
        if (*x->at == '[')
            return false;
        if (*x->at != '"' && *x->at != '\'')
            continue;
        x->at++;
        if (!skip_behind(x, quote))
            return false;
        x->at--;
    }
    return x->at < x->end && *x->at++ == '>';
}

/* at: at the < */
static int read_markup(struct xml *x)
{
    if (starts_with(x, "<!--")) {
        x->at += 4;
        return skip_behind(x, "-->") ? 0 : -EINVAL;
    }
    if (starts_with(x, "<?"))
        return skip_behind(x, "?>") ? 0 : -EINVAL;
    if (starts_with(x, "<!DOCTYPE"))
        return skip_doctype(x) ? 0 : -EINVAL;
    x->at++;
    if (x->at < x->end && *x->at == '/') {
        x->at++;
        return read_end(x);
    }
    return start_element(x);
}

static int read_next(struct xml *x)
{
    if (*x->at == '<')
        return read_markup(x);
    char c = *x->at++;
    return c == '&' ? read_entity(x) : put(x, c);
}

int xml_read(const struct xml_handler *handler, const char *text, size_t size)
{
    struct xml x = {.handler = handler, .at = text, .end = text + size};
    int error = 0;
    if (starts_with(&x, "\xef\xbb\xbf"))
        x.at += 3;
    while (error == 0 && x.at < x.end)
        error = read_next(&x);
    if (error == 0 && !x.done)
        error = -EINVAL;
    while (x.depth > 0)
        free(x.stack[--x.depth].text);
    return error;
}
