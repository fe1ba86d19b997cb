/* SPDX-License-Identifier: MIT */
#include "mediation/question.h"

#include <stdarg.h>
#include <stdio.h>

#define QUESTION_COMMAND 6u /* bytes that the library writes its command into */
#define QUESTION_CLASS 32u  /* AA_CLASS_DBUS */

struct apparmor_label apparmor_split(struct span label)
{
    if (label.n > 3 && label.s[label.n - 1] == ')') {
        for (uint32_t at = label.n - 2; at > 0; at--) {
            if (label.s[at] == ' ' && label.s[at + 1] == '(')
                return (struct apparmor_label){{label.s, at}, {label.s + at + 2, label.n - at - 3}};
        }
    }
    return (struct apparmor_label){label, {0}};
}

bool apparmor_is_unconfined(const struct apparmor_label *label)
{
    return span_equal(label->mode.s ? label->mode : label->name, SPAN("unconfined"));
}

static void question_put(struct apparmor_question *q, const char *bytes, size_t n)
{
    q->too_long |= n > sizeof(q->bytes) - q->size;
    if (q->too_long || n == 0)
        return;
    memcpy(q->bytes + q->size, bytes, n);
    q->size += n;
}

void question_begin(struct apparmor_question *q, struct span label, const char *bus_type)
{
    const char class[2] = {'\0', QUESTION_CLASS};
    q->size = QUESTION_COMMAND;
    q->too_long = false;
    memset(q->bytes, 0, QUESTION_COMMAND);
    question_put(q, label.s, label.n);
    question_put(q, class, sizeof(class));
    question_put(q, bus_type, bus_type ? strlen(bus_type) : 0);
}

void question_add(struct apparmor_question *q, struct span field)
{
    question_put(q, "", 1);
    question_put(q, field.s, field.s ? field.n : 0);
}

void text_begin(struct apparmor_text *text)
{
    text_cut(text, 0);
}

void text_cut(struct apparmor_text *text, size_t size)
{
    text->size = size;
    text->s[size] = '\0';
}

void text_put(struct apparmor_text *text, const char *format, ...)
{
    size_t left = sizeof(text->s) - text->size;
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text->s + text->size, left, format, arguments);
    va_end(arguments);
    text->size += n < 0 ? 0 : (size_t)n < left ? (size_t)n : left - 1;
}

void text_put_span(struct apparmor_text *text, const char *key, struct span value)
{
    /* the record is shorter than INT_MAX, and so is what is to be seen of the value */
    if (value.s)
        text_put(text, " %s=\"%.*s\"", key, (int)(value.n < APPARMOR_RECORD ? value.n : APPARMOR_RECORD),
                 value.s);
}
