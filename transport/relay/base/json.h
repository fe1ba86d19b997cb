/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_JSON_H
#define OMNIBUS_JSON_H

#include "base/span.h"

#include <stddef.h>

/* A growing JSON text. Commas are inserted where they belong; failed records a lack of memory. */
struct json {
    char *text;
    size_t size, capacity;
    bool comma;
    bool failed;
};

void json_open(struct json *json, char bracket);  /* '{' or '[' */
void json_close(struct json *json, char bracket); /* '}' or ']' */
void json_key(struct json *json, const char *key);
void json_string(struct json *json, struct span text);
void json_number(struct json *json, uint64_t value);
void json_boolean(struct json *json, bool value);
void json_put_number(struct json *json, const char *key, uint64_t value);
void json_put_boolean(struct json *json, const char *key, bool value);
void json_put_string(struct json *json, const char *key, struct span text);

#endif
