/* SPDX-License-Identifier: MIT */
#include "resumption/resumption.h"

#include "api/relay_internal.h"
#include "resume/resume_internal.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * The standby of a bus that has crashed, made before Python runs. A fault is rarely alone: behind the message
 * that has ended the bus its sender has another one like it, which is read some milliseconds after the first.
 * The control plane finds this standby, and keeps it.
 */

#define PROGRAM_VARIABLE "OMNIBUS_PROGRAM" /* set by omnibusd: the path of the program */
#define NOTIFY_VARIABLE "NOTIFY_SOCKET"
static char resume_option[] = "--resume-fd="; /* the standby adds the number */
static char crashed_option[] = "--crashed";

/* The command line of this program, with another state. NULL: no memory, or no such program. */
static const char **standby_command(const struct handover *h)
{
    const char *program = getenv(PROGRAM_VARIABLE);
    size_t n = 0, used = 0;
    for (const char *at = h->rest; at < h->end; at += strlen(at) + 1)
        n++;
    const char **command = program ? calloc(n + 5, sizeof(*command)) : NULL;
    if (!command)
        return NULL;
    command[used++] = program;
    command[used++] = resume_option;
    if (h->library_option)
        command[used++] = h->library_option;
    command[used++] = crashed_option;
    for (const char *at = h->rest; at < h->end; at += strlen(at) + 1)
        command[used++] = at;
    return command;
}

static bool has_bit(const uint8_t *bits, size_t n, int fd)
{
    return (size_t)fd / 8 < n && bits[fd / 8] >> (fd % 8) & 1;
}

/*
 * The descriptors that this program was given and that the data plane's sections do not mention: those of the
 * control plane. NULL: no memory.
 */
static int *other_descriptors(const struct resumption *r, uint32_t *n)
{
    int64_t n_own = relay_state_descriptors(r->state, r->size, NULL, 0);
    int *own = n_own < 0 ? NULL : calloc((size_t)n_own + 1, sizeof(*own));
    int *others = calloc(r->handover.n_fds + 1u, sizeof(*others));
    int last = 0;
    if (own)
        relay_state_descriptors(r->state, r->size, own, (size_t)n_own);
    for (int64_t i = 0; own && i < n_own; i++)
        last = own[i] > last ? own[i] : last;
    size_t n_bits = (size_t)last / 8 + 1;
    uint8_t *bits = own && others ? calloc(n_bits, 1) : NULL;
    *n = 0;
    for (int64_t i = 0; bits && i < n_own; i++)
        bits[own[i] / 8] |= (uint8_t)(1u << (own[i] % 8));
    for (uint32_t i = 0; bits && i < r->handover.n_fds; i++) {
        int fd = r->handover.fds[i];
        if (fd != r->handover.state && !has_bit(bits, n_bits, fd))
            others[(*n)++] = fd;
    }
    free(own);
    if (!bits) {
        free(others);
        return NULL;
    }
    free(bits);
    return others;
}

/* The standby writes what only the control plane knows as it was before the crash. */
static int keep_control(const struct resumption *r)
{
    struct state_view view;
    char why[128];
    int error = state_open(&view, r->state, r->size, false, why, sizeof(why));
    const struct state_place *control = &view.places[RELAY_STATE_CONTROL];
    if (error < 0 || !control->content)
        return error < 0 ? error : -EINVAL;
    return relay_keep(r->relay, control->content - STATE_SECTION_HEADER,
                      control->size + STATE_SECTION_HEADER);
}

/* Makes it the unit's main process, as daemon/upgrade/standby.py does. */
static void tell_manager(int64_t pid)
{
    const char *name = getenv(NOTIFY_VARIABLE);
    size_t n = name ? strlen(name) : 0;
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char text[32];
    if (n < 2 || n >= sizeof(to.sun_path) || (name[0] != '/' && name[0] != '@'))
        return;
    memcpy(to.sun_path, name, n);
    if (name[0] == '@')
        to.sun_path[0] = '\0';
    int size = snprintf(text, sizeof(text), "MAINPID=%lld", (long long)pid);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    sendto(fd, text, (size_t)size, MSG_NOSIGNAL, (const struct sockaddr *)&to,
           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    close(fd);
}

void first_standby_make(struct resumption *r)
{
    uint32_t n = 0;
    int *others = other_descriptors(r, &n);
    const char **command = standby_command(&r->handover);
    const struct relay_standby how = {
        .command = command,
        .environment = (const char *const *)r->handover.environment,
        .fds = others,
        .n_fds = n,
    };
    if (others && command && keep_control(r) == 0) {
        int64_t pid = relay_standby(r->relay, &how, &r->standby_pidfd);
        r->standby = pid > 0 ? (int)pid : 0;
    }
    if (r->standby)
        tell_manager(r->standby);
    free(others);
    free(command);
}
