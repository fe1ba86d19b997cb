/* SPDX-License-Identifier: MIT */

/* Input that the launch helper reads with its privileges: the first byte selects the parser. */
#include "../../daemon/launch/bus_config.h"
#include "../../daemon/launch/command_line.h"
#include "../../daemon/launch/service_file.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void split(const char *data, size_t size)
{
    char **argv;
    char *text = strndup(data, size);
    if (!text)
        return;
    if (command_line_split(text, &argv) == 0) {
        size_t length = 0;
        for (char **word = argv; *word; word++)
            length += strlen(*word);
        if (length > size)
            abort();
        free(argv);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct service_file file;
    struct bus_config config;
    if (size == 0)
        return 0;
    const char *text = (const char *)data + 1;
    switch (data[0] % 3) {
    case 0:
        split(text, size - 1);
        break;
    case 1:
        if (service_file_read(&file, text, size - 1) == 0)
            service_file_clear(&file);
        break;
    default:
        if (bus_config_read(&config, text, size - 1) == 0)
            bus_config_clear(&config);
    }
    return 0;
}
