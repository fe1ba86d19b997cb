/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_BUS_CONFIG_H
#define OMNIBUS_BUS_CONFIG_H

#include <stddef.h>

/* The settings of the system bus that the launch helper needs; included files are ignored. */
struct bus_config {
    char *user; /* NULL: not given */
    char **directories;
    size_t n_directories;
};

/* -EINVAL: not a configuration file; -ENOMEM. */
int bus_config_read(struct bus_config *config, const char *text, size_t size);
void bus_config_clear(struct bus_config *config);

#endif
