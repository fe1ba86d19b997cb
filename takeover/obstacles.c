/* SPDX-License-Identifier: MIT */
#include "obstacles.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PRINTED 20u

void obstacles_clear(struct obstacles *o)
{
    o->n = 0;
    o->failed = false;
}

void obstacles_add(struct obstacles *o, int fd, const char *format, ...)
{
    if (o->n == o->room) {
        size_t room = 2 * o->room + 16;
        struct obstacle *all = realloc(o->all, room * sizeof(*all));
        if (!all) {
            o->failed = true;
            return;
        }
        o->all = all;
        o->room = room;
    }
    struct obstacle *one = &o->all[o->n++];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(one->text, sizeof(one->text), format, arguments);
    va_end(arguments);
    one->fd = fd;
}

bool obstacles_can_end(const struct obstacles *o)
{
    for (size_t i = 0; i < o->n; i++) {
        if (o->all[i].fd < 0)
            return false;
    }
    return !o->failed;
}

/* Texts of clients were not put into them, but for the beginnings of their command lines, in ASCII. */
void obstacles_print(const struct obstacles *o, const char *before)
{
    for (size_t i = 0; i < o->n && i < PRINTED; i++)
        fprintf(stderr, "%s%s\n", before, o->all[i].text);
    if (o->n > PRINTED)
        fprintf(stderr, "%s%zu more\n", before, o->n - PRINTED);
}

void obstacles_free(struct obstacles *o)
{
    free(o->all);
    *o = (struct obstacles){0};
}
