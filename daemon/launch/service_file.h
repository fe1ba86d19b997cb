/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_SERVICE_FILE_H
#define OMNIBUS_SERVICE_FILE_H

#include <stddef.h>

struct service_file { /* keys of [D-BUS Service]; NULL: not given */
    char *name, *exec, *user;
};

/* Parses the syntax of daemon/activation/desktop_file.py. -EINVAL: not valid; -ENOMEM. */
int service_file_read(struct service_file *file, const char *text, size_t size);
void service_file_clear(struct service_file *file);

#endif
