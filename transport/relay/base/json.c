/* SPDX-License-Identifier: MIT */
#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void raw(struct json *json, const char *bytes, size_t n)
{
    if (json->failed || n == 0)
        return;
    if (n > json->capacity - json->size) {
        size_t capacity = json->capacity * 2 + n + 256;
        char *text = realloc(json->text, capacity);
        if (!text) {
            json->failed = true;
            return;
        }
        json->text = text;
        json->capacity = capacity;
    }
    memcpy(json->text + json->size, bytes, n);
    json->size += n;
}

static void separate(struct json *json)
{
    if (json->comma)
        raw(json, ",", 1);
    json->comma = true;
}

void json_open(struct json *json, char bracket)
{
    separate(json);
    raw(json, &bracket, 1);
    json->comma = false;
}

void json_close(struct json *json, char bracket)
{
    raw(json, &bracket, 1);
    json->comma = true;
}

static void quoted(struct json *json, struct span text)
{
    raw(json, "\"", 1);
    uint32_t plain = 0; /* start of the run that needs no escape */
    for (uint32_t i = 0; i < text.n; i++) {
        uint8_t c = (uint8_t)text.s[i];
        char escape[8];
        if (c != '"' && c != '\\' && c >= ' ')
            continue;
        raw(json, text.s + plain, i - plain);
        raw(json, escape, (size_t)snprintf(escape, sizeof(escape), "\\u%04x", c));
        plain = i + 1;
    }
    raw(json, text.s + plain, text.n - plain);
    raw(json, "\"", 1);
}

void json_key(struct json *json, const char *key)
{
    separate(json);
    quoted(json, span_of(key));
    raw(json, ":", 1);
    json->comma = false;
}

void json_string(struct json *json, struct span text)
{
    separate(json);
    quoted(json, text);
}

void json_number(struct json *json, uint64_t value)
{
    char digits[24];
    separate(json);
    raw(json, digits, (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, value));
}

void json_boolean(struct json *json, bool value)
{
    separate(json);
    raw(json, value ? "true" : "false", value ? 4 : 5);
}

void json_put_number(struct json *json, const char *key, uint64_t value)
{
    json_key(json, key);
    json_number(json, value);
}

void json_put_boolean(struct json *json, const char *key, bool value)
{
    json_key(json, key);
    json_boolean(json, value);
}

void json_put_string(struct json *json, const char *key, struct span text)
{
    json_key(json, key);
    json_string(json, text);
}
