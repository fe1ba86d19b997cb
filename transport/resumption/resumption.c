/* SPDX-License-Identifier: MIT */
#include "resumption/resumption.h"

#include "api/relay_internal.h"
#include "base/clock.h"
#include "base/sealed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct resumption resumption;

static int refuse_resumption(char *why, size_t size, int error, const char *what)
{
    snprintf(why, size, "descriptor %d %s: %s", resumption.handover.state, what, strerror(-error));
    return error;
}

/* Makes the data plane, and lets it serve if it has a thread. */
static int serve(struct resumption *r, char *why, size_t size)
{
    int error = relay_state_map(r->handover.state, &r->state, &r->size);
    if (error < 0)
        return refuse_resumption(why, size, error, "has no state");
    relay_share_heap(); /* for a standby; if that fails there is none */
    error = relay_restore(&r->relay, r->state, r->size, false, why, size);
    if (error < 0)
        return error;
    bool has_thread = relay_start(r->relay) == 0;
    error = relay_thaw(r->relay);
    if (error < 0)
        return refuse_resumption(why, size, error, "cannot be gone on with");
    r->since = clock_microseconds();
    if (has_thread)
        atomic_store(&r->stage, RESUMPTION_SERVING);
    alarm(ADOPT_SECONDS);
    error = relay_commit(r->relay);
    if (error == 0 && r->handover.crashed)
        first_standby_make(r);
    return error;
}

/* Once; r->handover has been read. 0, or a negative errno with a text in why. */
static int resumption_begin(struct resumption *r, char *why, size_t size)
{
    r->pid = getpid();
    if (!sealed_is_ours(r->handover.state)) {
        r->handover.previous = NULL; /* nor is that to be believed */
        return refuse_resumption(why, size, -EPERM, "is no state of ours");
    }
    int error = handover_note(&r->handover);
    if (error < 0)
        return refuse_resumption(why, size, error, "cannot be gone on with");
    atomic_store(&r->stage, RESUMPTION_RESTORING);
    way_back_begin(r);
    alarm(RESTORE_SECONDS);
    return serve(r, why, size);
}

int relay_resumption(struct relay **out, int64_t *since, char *why, size_t size)
{
    struct resumption *r = &resumption;
    int error = 0;
    if (atomic_load(&r->stage) == RESUMPTION_NONE) {
        error = handover_read(&r->handover);
        if (error == 0)
            error = resumption_begin(r, why, size);
        else
            snprintf(why, size, "the command line has no state: %s", strerror(-error));
    }
    if (error == 0 && !r->relay) {
        snprintf(why, size, "the state was refused before");
        error = -EINVAL;
    }
    *out = r->relay;
    *since = r->since;
    return error;
}

int64_t relay_resumption_standby(int *pidfd)
{
    int pid = resumption.standby;
    resumption.standby = 0;
    *pidfd = resumption.standby_pidfd;
    return pid;
}

void relay_resumption_end(void)
{
    struct resumption *r = &resumption;
    atomic_store(&r->stage, RESUMPTION_ENDED);
    alarm(0);
    way_back_end(r);
    relay_state_unmap(r->state, r->size);
    close(r->handover.state);
    handover_free(&r->handover);
}

void relay_resumption_abandon(void)
{
    way_back_take(&resumption);
}

/* Before main(), where omnibusd has preloaded this library. */
__attribute__((constructor)) static void resume_first(void)
{
    struct resumption *r = &resumption;
    char why[256];
    if (!getenv("LD_PRELOAD") || handover_read(&r->handover) < 0)
        return;
    if (!handover_unload(&r->handover)) {
        handover_free(&r->handover);
        return;
    }
    if (resumption_begin(r, why, sizeof(why)) == 0)
        return;
    dprintf(STDERR_FILENO, "omnibusd[%d]: The data plane can't go on with the state of the bus: %s\n",
            getpid(), why);
    way_back_take(r);
    _exit(EXIT_FAILURE);
}

/* The interpreter has ended before the control plane was ready. */
__attribute__((destructor)) static void end_first(void)
{
    struct resumption *r = &resumption;
    int stage = atomic_load(&r->stage);
    if ((stage == RESUMPTION_RESTORING || stage == RESUMPTION_SERVING) && getpid() == r->pid)
        way_back_take(r);
}
