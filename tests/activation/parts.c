/* SPDX-License-Identifier: MIT */

/*
 * The parts of the launch helper for tests. A request is a letter, the size in decimal, a newline, and that
 * many bytes; a reply is a number (the result), then all result strings, each preceded by its
 * size.
 */
#include "../../daemon/launch/bus_config.h"
#include "../../daemon/launch/command_line.h"
#include "../../daemon/launch/service_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -1 stands for NULL */
static void tell(const char *text)
{
    printf("%zd\n%s", text ? (ssize_t)strlen(text) : -1, text ? text : "");
}

static void split(const char *text)
{
    char **argv;
    int error = command_line_split(text, &argv);
    int n = 0;
    while (error == 0 && argv[n])
        n++;
    printf("%d %d\n", error, n);
    for (int i = 0; i < n; i++)
        tell(argv[i]);
    if (error == 0)
        free(argv);
}

static void read_service(const char *text, size_t size)
{
    struct service_file file;
    int error = service_file_read(&file, text, size);
    printf("%d %d\n", error, error < 0 ? 0 : 3);
    if (error == 0) {
        tell(file.name);
        tell(file.exec);
        tell(file.user);
    }
    service_file_clear(&file);
}

static void read_config(const char *text, size_t size)
{
    struct bus_config config;
    int error = bus_config_read(&config, text, size);
    printf("%d %zu\n", error, error < 0 ? 0 : 1 + config.n_directories);
    if (error == 0)
        tell(config.user);
    for (size_t i = 0; i < config.n_directories; i++)
        tell(config.directories[i]);
    bus_config_clear(&config);
}

int main(void)
{
    char kind;
    size_t size;
    while (scanf("%c%zu%*c", &kind, &size) == 2) {
        /* exactly as long as its stated size, so that the sanitizer detects an overrun */
        char *text = malloc(size + (kind == 'c'));
        if (!text || fread(text, 1, size, stdin) != size)
            return 1;
        if (kind == 'c') {
            text[size] = '\0';
            split(text);
        } else if (kind == 's') {
            read_service(text, size);
        } else {
            read_config(text, size);
        }
        free(text);
        fflush(stdout);
    }
    return 0;
}
