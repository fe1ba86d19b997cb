/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_QUESTION_H
#define OMNIBUS_QUESTION_H

#include "base/span.h"

#include <stddef.h>

/* Texts of AppArmor: labels, the questions of aa_query_label(2), and records for audit. */

#define APPARMOR_QUESTION 8192u /* bytes of a question; the kernel takes no more than a page */
#define APPARMOR_RECORD 8192u   /* of a record, which is truncated */

struct apparmor_label {
    struct span name;
    struct span mode; /* .s is NULL: none, as of "unconfined" */
};

/* Splits "name (mode)". A label that is neither that nor "unconfined" has no mode. */
struct apparmor_label apparmor_split(struct span label);
bool apparmor_is_unconfined(const struct apparmor_label *label);

struct apparmor_question {
    size_t size;
    bool too_long;
    uint8_t bytes[APPARMOR_QUESTION];
};

/* Begins a question of the class of D-Bus about a label. bus_type: NULL: none. */
void question_begin(struct apparmor_question *q, struct span label, const char *bus_type);
/* Adds a field; .s is NULL: it is absent. */
void question_add(struct apparmor_question *q, struct span field);

struct apparmor_text { /* always ends with NUL */
    size_t size;
    char s[APPARMOR_RECORD];
};

void text_begin(struct apparmor_text *text);
void text_put(struct apparmor_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Appends a key and its value, unless there is none. */
void text_put_span(struct apparmor_text *text, const char *key, struct span value);
void text_cut(struct apparmor_text *text, size_t size); /* back to an earlier size */

#endif
