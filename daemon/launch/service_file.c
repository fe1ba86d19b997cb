/* SPDX-License-Identifier: MIT */
#include "service_file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SECTION "D-BUS Service"

struct line {
    const char *at, *end;
};

struct reader {
    struct service_file *file;
    bool in_section;  /* a section has begun */
    bool in_services; /* it is [D-BUS Service] */
    bool had_services;
};

/* The next line of the rest; CR, LF and CR LF end a line. */
static struct line next_line(struct line *left)
{
    struct line line = {left->at, left->at};
    while (line.end < left->end && *line.end != '\n' && *line.end != '\r')
        line.end++;
    left->at = line.end;
    if (left->at < left->end)
        left->at += left->at + 1 < left->end && left->at[0] == '\r' && left->at[1] == '\n' ? 2 : 1;
    return line;
}

static bool is_blank(struct line line)
{
    while (line.at < line.end && memchr(" \t\f", *line.at, 3))
        line.at++;
    return line.at == line.end;
}

static bool is_key_character(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

static int read_section(struct reader *r, struct line line)
{
    if (line.end - line.at <= 2 || line.end[-1] != ']')
        return -EINVAL;
    for (const char *c = line.at + 1; c < line.end - 1; c++) {
        if (*c < ' ' || *c > '~' || *c == '[' || *c == ']')
            return -EINVAL;
    }
    size_t length = (size_t)(line.end - line.at) - 2;
    bool ours = length == strlen(SECTION) && memcmp(line.at + 1, SECTION, length) == 0;
    r->in_section = true;
    r->in_services = ours && !r->had_services; /* the first of duplicates counts */
    r->had_services |= ours;
    return 0;
}

/* NULL with errno: invalid escapes, or no memory. */
static char *unescape(struct line value)
{
    static const char codes[] = "stnr\\", meanings[] = " \t\n\r\\";
    char *text = malloc((size_t)(value.end - value.at) + 1), *to = text;
    if (!text) {
        errno = ENOMEM;
        return NULL;
    }
    for (; value.at < value.end; value.at++) {
        char c = *value.at;
        if (c == '\\') {
            const char *code = ++value.at < value.end && *value.at ? strchr(codes, *value.at) : NULL;
            c = code ? meanings[code - codes] : '\0';
        }
        if (c == '\0') {
            free(text);
            errno = EINVAL;
            return NULL;
        }
        *to++ = c;
    }
    *to = '\0';
    return text;
}

static void keep(struct reader *r, struct line key, char *value)
{
    static const char *const names[] = {"Name", "Exec", "User"};
    char **const places[] = {&r->file->name, &r->file->exec, &r->file->user};
    size_t length = (size_t)(key.end - key.at);
    for (size_t i = 0; i < 3; i++) {
        bool wanted = r->in_services && length == strlen(names[i]) && memcmp(key.at, names[i], length) == 0;
        if (wanted && !*places[i]) {
            *places[i] = value;
            return;
        }
    }
    free(value);
}

static int read_key(struct reader *r, struct line line)
{
    struct line key = {line.at, line.at};
    while (key.end < line.end && is_key_character(*key.end))
        key.end++;
    if (key.at == key.end)
        return -EINVAL;
    line.at = key.end;
    if (line.at < line.end && *line.at == '[')
        return 0; /* a translation */
    while (line.at < line.end && *line.at == ' ')
        line.at++;
    if (line.at == line.end || *line.at++ != '=')
        return -EINVAL;
    while (line.at < line.end && *line.at == ' ')
        line.at++;
    char *value = unescape(line);
    if (!value)
        return -errno;
    keep(r, key, value);
    return 0;
}

static int read_line(struct reader *r, struct line line)
{
    if (line.at < line.end && *line.at == '[')
        return read_section(r, line);
    if (is_blank(line) || *line.at == '#')
        return 0;
    return r->in_section ? read_key(r, line) : -EINVAL;
}

int service_file_read(struct service_file *file, const char *text, size_t size)
{
    struct reader reader = {.file = file};
    struct line left = {text, text + size};
    *file = (struct service_file){0};
    while (left.at < left.end) {
        int error = read_line(&reader, next_line(&left));
        if (error < 0) {
            service_file_clear(file);
            return error;
        }
    }
    return 0;
}

void service_file_clear(struct service_file *file)
{
    free(file->name);
    free(file->exec);
    free(file->user);
    *file = (struct service_file){0};
}
