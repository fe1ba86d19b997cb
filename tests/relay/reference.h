/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TEST_REFERENCE_H
#define OMNIBUS_TEST_REFERENCE_H

/* libdbus as the reference for validity, if it is installed. */

#include "../../transport/relay/wire/message.h"

#include <dlfcn.h>

struct reference_error {
    const char *name;
    const char *message;
    unsigned bits;
    void *padding;
};

static struct {
    bool loaded, tried;
    void *(*demarshal)(const char *, int, struct reference_error *);
    void (*unref)(void *);
    void (*error_init)(struct reference_error *);
    void (*error_free)(struct reference_error *);
    unsigned (*signature_validate)(const char *, void *);
    unsigned (*validate_bus_name)(const char *, void *);
    unsigned (*validate_interface)(const char *, void *);
    unsigned (*validate_member)(const char *, void *);
    unsigned (*validate_error_name)(const char *, void *);
    unsigned (*validate_path)(const char *, void *);
    unsigned (*validate_utf8)(const char *, void *);
} reference;

static inline void *reference_symbol(void *library, const char *name)
{
    void *symbol = dlsym(library, name);
    reference.loaded &= symbol != NULL;
    return symbol;
}

/* False without libdbus: then there is nothing to compare with. */
static inline bool reference_load(void)
{
    if (reference.tried)
        return reference.loaded;
    reference.tried = true;
    void *library = dlopen("libdbus-1.so.3", RTLD_NOW);
    if (!library)
        return false;
    reference.loaded = true;
    reference.demarshal = reference_symbol(library, "dbus_message_demarshal");
    reference.unref = reference_symbol(library, "dbus_message_unref");
    reference.error_init = reference_symbol(library, "dbus_error_init");
    reference.error_free = reference_symbol(library, "dbus_error_free");
    reference.signature_validate = reference_symbol(library, "dbus_signature_validate");
    reference.validate_bus_name = reference_symbol(library, "dbus_validate_bus_name");
    reference.validate_interface = reference_symbol(library, "dbus_validate_interface");
    reference.validate_member = reference_symbol(library, "dbus_validate_member");
    reference.validate_error_name = reference_symbol(library, "dbus_validate_error_name");
    reference.validate_path = reference_symbol(library, "dbus_validate_path");
    reference.validate_utf8 = reference_symbol(library, "dbus_validate_utf8");
    return reference.loaded;
}

/* Whether libdbus reads the message. It never does if UNIX_FDS is not 0, because no fds come with the bytes.
 */
static inline bool reference_accepts(const uint8_t *data, uint32_t size)
{
    struct reference_error error;
    reference.error_init(&error);
    void *m = reference.demarshal((const char *)data, (int)size, &error);
    reference.error_free(&error);
    if (m)
        reference.unref(m);
    return m != NULL;
}

#endif
