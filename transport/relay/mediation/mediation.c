/* SPDX-License-Identifier: MIT */
#include "mediation/mediation.h"

#include "mediation/apparmor.h"
#include "mediation/selinux.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int begin_modules(struct mediation *mediation, uint32_t modules, char *why, size_t why_size)
{
    int error = 0;
    if (modules & MEDIATION_SELINUX)
        error = selinux_new(&mediation->selinux, NULL, mediation->audit, why, why_size);
    if (error == 0 && modules & MEDIATION_APPARMOR)
        error = apparmor_new(&mediation->apparmor, NULL, NULL, mediation->bus_type, mediation->audit, why,
                             why_size);
    return error;
}

int mediation_new(struct mediation **out, uint32_t modules, const char *bus_type, char *why, size_t why_size)
{
    struct mediation *mediation = calloc(1, sizeof(*mediation));
    int error = -ENOMEM;
    if (mediation) {
        mediation->audit = audit_new(NULL);
        mediation->bus_type = bus_type ? strdup(bus_type) : NULL;
        if (mediation->audit && (mediation->bus_type || !bus_type))
            error = 0;
    }
    if (error < 0)
        snprintf(why, why_size, "%s", strerror(-error));
    else
        error = begin_modules(mediation, modules, why, why_size);
    if (error < 0)
        mediation_free(mediation);
    else
        *out = mediation;
    return error;
}

void mediation_attach(struct mediation *mediation, mediation_log log, void *context)
{
    audit_attach(mediation->audit, log, context);
}

uint32_t mediation_modules(const struct mediation *mediation)
{
    if (!mediation)
        return 0;
    return (mediation->apparmor ? MEDIATION_APPARMOR : 0u) | (mediation->selinux ? MEDIATION_SELINUX : 0u);
}

static void texts_free(struct mediation_texts *texts)
{
    free(texts->pairs);
    free(texts->memory);
}

void mediation_texts_free(struct mediation_texts *texts)
{
    if (texts)
        texts_free(texts);
    free(texts);
}

void mediation_free(struct mediation *mediation)
{
    if (!mediation)
        return;
    apparmor_free(mediation->apparmor);
    selinux_free(mediation->selinux);
    audit_free(mediation->audit);
    texts_free(&mediation->labels);
    texts_free(&mediation->contexts);
    free(mediation->bus_type);
    free(mediation);
}

uint32_t mediation_watched(const struct mediation *mediation, int fds[2])
{
    uint32_t n = 0;
    if (mediation->apparmor && apparmor_watched(mediation->apparmor) >= 0)
        fds[n++] = apparmor_watched(mediation->apparmor);
    if (mediation->selinux)
        fds[n++] = selinux_watched(mediation->selinux);
    return n;
}

void mediation_changed(struct mediation *mediation)
{
    if (mediation->apparmor)
        apparmor_changed(mediation->apparmor);
    if (mediation->selinux)
        selinux_changed(mediation->selinux);
}

void mediation_unwatched(struct mediation *mediation)
{
    if (mediation->apparmor)
        apparmor_unwatched(mediation->apparmor);
}

static int compare_spans(struct span a, struct span b)
{
    uint32_t n = a.n < b.n ? a.n : b.n;
    int order = n > 0 ? memcmp(a.s, b.s, n) : 0;
    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

static int compare_pairs(const void *a, const void *b)
{
    const struct span *left = a, *right = b;
    return compare_spans(*left, *right);
}

int mediation_set_texts(struct mediation_texts *texts, const uint8_t *body, size_t size)
{
    uint32_t n = 0;
    if (size > UINT32_MAX || (size > 0 && body[size - 1] != '\0'))
        return -EINVAL;
    for (size_t i = 0; i < size; i++)
        n += body[i] == '\0';
    if (n % 2 != 0)
        return -EINVAL;
    struct mediation_texts made = {.memory = malloc(size + 1), .n = n / 2};
    made.pairs = calloc((size_t)n + 1, sizeof(*made.pairs));
    if (!made.memory || !made.pairs) {
        texts_free(&made);
        return -ENOMEM;
    }
    if (size > 0)
        memcpy(made.memory, body, size);
    const char *at = made.memory;
    for (uint32_t i = 0; i < n; i++, at += strlen(at) + 1)
        made.pairs[i] = span_of(at);
    qsort(made.pairs, made.n, 2 * sizeof(*made.pairs), compare_pairs);
    texts_free(texts);
    *texts = made;
    return 0;
}

struct span mediation_text(const struct mediation_texts *texts, struct span name)
{
    uint32_t low = 0, high = texts->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare_spans(texts->pairs[2 * middle], name);
        if (order == 0)
            return texts->pairs[2 * middle + 1];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return (struct span){0};
}
