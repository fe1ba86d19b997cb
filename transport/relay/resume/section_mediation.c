/* SPDX-License-Identifier: MIT */
#include "mediation/mediation.h"
#include "resume/resume_internal.h"
#include "send/mediate.h"

/*
 * What mediates the bus. A program that does not know this section must not go on with the bus, which would
 * lose that. Answers are not kept: they are asked for anew.
 */

static void dump_texts(struct dump *d, const struct mediation_texts *texts)
{
    state_put32(d->w, 2 * texts->n);
    for (uint32_t i = 0; i < 2 * texts->n; i++)
        state_put_text(d->w, texts->pairs[i]);
}

void dump_mediation(struct dump *d)
{
    const struct mediation *mediation = d->bus->mediation;
    state_put32(d->w, mediation_modules(mediation));
    state_put8(d->w, mediation->bus_type != NULL);
    state_put_text(d->w, span_of(mediation->bus_type));
    dump_texts(d, &mediation->labels);
    dump_texts(d, &mediation->contexts);
}

static int restore_texts(struct restore *s, struct mediation_texts *texts)
{
    uint32_t n = state_count(&s->r, 4);
    size_t size = 0, room = (size_t)(s->r.end - s->r.at) + n;
    uint8_t *body = restore_array(s, room, 1);
    if (!body)
        return -ENOMEM;
    for (uint32_t i = 0; i < n; i++) {
        struct span text = state_get_bytes(&s->r);
        if (text.n > 0)
            memcpy(body + size, text.s, text.n);
        size += text.n;
        body[size++] = '\0';
    }
    int error = mediation_set_texts(texts, body, size);
    free(body);
    return error;
}

int restore_mediation(struct restore *s)
{
    struct mediation *mediation;
    char why[256], type[64];
    uint32_t modules = state_get32(&s->r);
    bool typed = state_get8(&s->r) != 0;
    struct span text = state_get_bytes(&s->r);
    if (text.n >= sizeof(type) || (modules & ~(uint32_t)(MEDIATION_APPARMOR | MEDIATION_SELINUX)) != 0)
        return -EINVAL;
    if (text.n > 0)
        memcpy(type, text.s, text.n);
    type[text.n] = '\0';
    int error = mediation_new(&mediation, modules, typed ? type : NULL, why, sizeof(why));
    if (error < 0)
        return error;
    error = mediate_with(s->bus, mediation);
    if (error == 0)
        error = restore_texts(s, &mediation->labels);
    return error < 0 ? error : restore_texts(s, &mediation->contexts);
}
