/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_XML_H
#define OMNIBUS_XML_H

#include <stddef.h>

#define XML_DEPTH 16u

/*
 * Enough of XML for configuration files, and nothing that could be a trap: no entities but the five of XML
 * itself, no internal subset, no CDATA. Attributes are skipped.
 */
struct xml_handler {
    void *context;
    /* An element has ended that stands at this depth (the root is 1), with the text directly in it. 0, or an
     * error that ends the reading. */
    int (*ended)(void *context, size_t depth, const char *name, const char *text);
};

/* -EINVAL: not well-formed; -ENOMEM; or what the handler returned. */
int xml_read(const struct xml_handler *handler, const char *text, size_t size);

#endif
