/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_XML_H
#define OMNIBUS_XML_H

#include <stddef.h>

#define XML_DEPTH 16u

/*
 * The subset of XML that configuration files need: no entities but the five predefined ones, no internal
 * subset, no CDATA. Attributes are skipped.
 */
struct xml_handler {
    void *context;
    /* Called at the end of an element, with its depth (the root is 1) and its own text. Returns 0, or an
     * error that ends the parsing. */
    int (*ended)(void *context, size_t depth, const char *name, const char *text);
};

/* -EINVAL: not well-formed; -ENOMEM; or what the handler returned. */
int xml_read(const struct xml_handler *handler, const char *text, size_t size);

#endif
