/* SPDX-License-Identifier: MIT */
#include "bus_config.h"

#include "xml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What <standard_system_servicedirs/> stands for; the same as in policy/service_dirs.py. */
static const char *const standard_directories[] = {
    "/etc/dbus-1/system-services",
    "/run/dbus-1/system-services",
    "/usr/local/share/dbus-1/system-services",
    "/usr/share/dbus-1/system-services",
    "/lib/dbus-1/system-services",
};

static int add_directory(struct bus_config *config, const char *path)
{
    if (path[0] != '/')
        return 0; /* relative paths are ignored */
    char **more = realloc(config->directories, (config->n_directories + 1) * sizeof(*more));
    if (!more)
        return -ENOMEM;
    config->directories = more;
    more[config->n_directories] = strdup(path);
    if (!more[config->n_directories])
        return -ENOMEM;
    config->n_directories++;
    return 0;
}

static int add_standard_directories(struct bus_config *config)
{
    int error = 0;
    for (size_t i = 0; error == 0 && i < sizeof(standard_directories) / sizeof(*standard_directories); i++)
        error = add_directory(config, standard_directories[i]);
    return error;
}

static int set_user(struct bus_config *config, const char *name)
{
    char *copy = strdup(name);
    if (!copy)
        return -ENOMEM;
    free(config->user);
    config->user = copy;
    return 0;
}

/* A copy without surrounding white space; NULL: no memory. */
static char *trim(const char *text)
{
    static const char space[] = " \t\r\n";
    text += strspn(text, space);
    size_t length = strlen(text);
    while (length > 0 && strchr(space, text[length - 1]))
        length--;
    return strndup(text, length);
}

static int take_element(struct bus_config *config, const char *name, const char *text)
{
    if (strcmp(name, "standard_system_servicedirs") == 0)
        return add_standard_directories(config);
    if (strcmp(name, "servicedir") == 0)
        return add_directory(config, text);
    if (strcmp(name, "user") == 0 && text[0])
        return set_user(config, text);
    return 0;
}

static int element_ended(void *context, size_t depth, const char *name, const char *text)
{
    if (depth == 1)
        return strcmp(name, "busconfig") == 0 ? 0 : -EINVAL;
    if (depth != 2)
        return 0;
    char *trimmed = trim(text);
    int error = trimmed ? take_element(context, name, trimmed) : -ENOMEM;
    free(trimmed);
    return error;
}

int bus_config_read(struct bus_config *config, const char *text, size_t size)
{
    *config = (struct bus_config){0};
    struct xml_handler handler = {.context = config, .ended = element_ended};
    int error = xml_read(&handler, text, size);
    if (error < 0)
        bus_config_clear(config);
    return error;
}

void bus_config_clear(struct bus_config *config)
{
    for (size_t i = 0; i < config->n_directories; i++)
        free(config->directories[i]);
    free(config->directories);
    free(config->user);
    *config = (struct bus_config){0};
}
