/* SPDX-License-Identifier: MIT */
#include "takeover.h"

#include "syscalls.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define STOPS_MAX 64u /* of the daemon, before anything else is looked at */

/* One stop of the daemon. True: it is dealt with, and there may be another one. */
static bool pump_stop(struct takeover *t, enum pump *result)
{
    struct tracer *tracer = &t->tracer;
    switch (tracer_next(tracer, false)) {
    case TRACER_RUNNING:
        return false;
    case TRACER_ENTRY:
        if (t->plugged && syscall_waits(tracer->call.number)) {
            *result = PUMP_AT_WAIT;
            return false;
        }
        tracer_go(tracer);
        return true;
    case TRACER_EXIT:
        if (!syscall_waits(tracer->call.number))
            syscall_note(tracer, &t->traffic);
        else if (t->plugged)
            t->traffic.failed |= !syscall_plug(tracer);
        tracer_go(tracer);
        return true;
    case TRACER_OTHER:
        return true;
    case TRACER_EXEC:
        tracer_detach(tracer);
        break;
    case TRACER_GONE:
        break;
    }
    *result = PUMP_LOST;
    return false;
}

static void pump_poll(struct takeover *t, int milliseconds)
{
    struct signalfd_siginfo info[8];
    struct pollfd waits[] = {{t->signals, POLLIN, 0},
                             {t->observer.fd, observer_events(&t->observer), 0},
                             {t->rehearsal.output, POLLIN, 0}};
    if (poll(waits, sizeof(waits) / sizeof(*waits), milliseconds) > 0 && waits[0].revents &&
        read(t->signals, info, sizeof(info)) < 0)
        t->traffic.failed = true;
}

enum pump pump(struct takeover *t, int milliseconds)
{
    int64_t end = takeover_now() + milliseconds;
    enum pump result = PUMP_IDLE;
    for (;;) {
        bool runs = t->tracer.pid == 0;
        for (unsigned n = 0; !runs && n < STOPS_MAX; n++)
            runs = !pump_stop(t, &result);
        uint32_t heard = t->observer.n_heard;
        if (result == PUMP_LOST || !observer_turn(&t->observer))
            return PUMP_LOST;
        int64_t left = end - takeover_now();
        if (result != PUMP_IDLE || left <= 0 || t->observer.n_heard != heard || t->traffic.failed)
            return result;
        if (runs)
            pump_poll(t, (int)left);
    }
}
