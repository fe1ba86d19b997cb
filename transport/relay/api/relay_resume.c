/* SPDX-License-Identifier: MIT */
#include "api/relay_internal.h"

#include "base/sealed.h"
#include "mediation/mediation.h"
#include "resume/resume.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* A command whose answer is an event of that kind. NULL: no memory. */
static struct command *command_with_event(enum command_kind kind, enum relay_event_kind answer,
                                          const uint8_t *body, size_t size)
{
    const size_t room = sizeof(((struct dump_result *)NULL)->why);
    struct command *command = command_new_answered(kind, 0, NULL, body, size, room);
    if (!command)
        return NULL;
    command->answer->owned = true;
    command->answer->view.kind = answer;
    return command;
}

int relay_freeze(struct relay *relay)
{
    return relay_push(relay, command_with_event(COMMAND_FREEZE, RELAY_EVENT_FROZEN, NULL, 0));
}

int relay_thaw(struct relay *relay)
{
    return relay_push_new(relay, COMMAND_THAW, 0, 0);
}

int relay_dump(struct relay *relay, int fd, const uint8_t *sections, size_t size)
{
    if (state_check_sections(sections, size) < 0)
        return -EINVAL;
    struct command *command = command_with_event(COMMAND_DUMP, RELAY_EVENT_DUMPED, sections, size);
    if (command)
        command->dump_fd = fd;
    return relay_push(relay, command);
}

int relay_state_map(int fd, const uint8_t **state, size_t *size)
{
    struct stat found;
    if (fstat(fd, &found) < 0)
        return -errno;
    if (!sealed_is_ours(fd))
        return -EPERM;
    if (found.st_size == 0 || (uint64_t)found.st_size > SIZE_MAX)
        return -EINVAL;
    void *map = mmap(NULL, (size_t)found.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return -errno;
    *state = map;
    *size = (size_t)found.st_size;
    struct state_view view;
    char why[128];
    int error = state_open(&view, *state, *size, true, why, sizeof(why));
    if (error < 0)
        relay_state_unmap(*state, *size);
    return error;
}

void relay_state_unmap(const uint8_t *state, size_t size)
{
    munmap((void *)state, size);
}

int relay_state_section(const uint8_t *state, size_t size, uint32_t type, const uint8_t **content,
                        size_t *length)
{
    char why[128];
    struct state_view view;
    int error = state_open(&view, state, size, false, why, sizeof(why));
    if (error < 0)
        return error;
    if (type >= RELAY_STATE_END || !view.places[type].content)
        return -ENOENT;
    *content = view.places[type].content;
    *length = view.places[type].size;
    return 0;
}

int64_t relay_state_descriptors(const uint8_t *state, size_t size, int *fds, size_t max)
{
    char why[128];
    struct state_view view;
    int error = state_open(&view, state, size, false, why, sizeof(why));
    return error < 0 ? error : restore_descriptors(&view, fds, max);
}

int relay_restore(struct relay **out, const uint8_t *state, size_t size, bool rehearsal, char *why,
                  size_t why_size)
{
    struct relay *relay;
    int error = relay_new(&relay, "");
    if (error < 0) {
        snprintf(why, why_size, "%s", strerror(-error));
        return error;
    }
    error = restore(&relay->bus, state, size, rehearsal, why, why_size);
    if (error < 0) {
        relay_free(relay);
        return error;
    }
    relay->mediated = mediation_modules(relay->bus.mediation);
    *out = relay;
    return 0;
}
