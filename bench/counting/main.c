/* SPDX-License-Identifier: MIT */

/*
 * Plays scripts to the relay and to the floor below it, in one process without threads. Under
 * callgrind --collect-atstart=no it leaves one dump for each, of the subject's own instructions alone:
 * "relay ping-pong 200" has the instructions of the rounds that produced 200 messages.
 *
 * With a script's name as argument it only plays that to the relay, many times:
 * callgrind --toggle-collect=loop_once then shows in which functions they are spent.
 */

#include "script.h"
#include "subject.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <valgrind/callgrind.h>

#define WARM 16
#define ROUNDS 100
#define PROFILED_ROUNDS 1000

struct stage {
    const struct subject *subject;
    int fds[SCRIPT_CLIENTS];
};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "instructions: %s\n", what);
    exit(EXIT_FAILURE);
}

/* Expects this number of whole messages of this type. */
static void expect(int fd, uint8_t type, int messages)
{
    static uint8_t data[1 << 18];
    ssize_t n = recv(fd, data, sizeof(data), MSG_DONTWAIT);
    uint32_t size;
    for (ssize_t at = 0; at < n; at += size, messages--) {
        if (message_frame(data + at, (size_t)(n - at), MESSAGE_MAX_SIZE, &size) != MESSAGE_OK ||
            (ssize_t)size > n - at)
            fail("not a whole message came");
        if (type && data[at + 1] != type)
            fail("another type of message came");
    }
    if (n <= 0 || messages)
        fail("another number of messages came");
}

static void send_bytes(const struct stage *stage, int from, const struct marshal *bytes)
{
    if (send(stage->fds[from], bytes->data, bytes->size, MSG_NOSIGNAL) != (ssize_t)bytes->size)
        fail("send failed");
}

static void play(const struct stage *stage, const struct script *script, bool counted)
{
    bool is_floor = stage->subject == &floor_relay;
    for (int i = 0; i < script->n_steps; i++) {
        const struct step *step = &script->steps[i];
        send_bytes(stage, step->from, &step->bytes);
        if (counted)
            CALLGRIND_TOGGLE_COLLECT;
        stage->subject->turn();
        if (counted)
            CALLGRIND_TOGGLE_COLLECT;
        for (int to = step->to; to <= step->last; to++)
            expect(stage->fds[to], is_floor ? 0 : step->type, step->messages);
    }
}

static void subscribe(const struct stage *stage, const struct script *script)
{
    struct marshal call = {0};
    script_add_match(&call, script->rule);
    for (int i = 1; i < script->clients; i++) {
        send_bytes(stage, i, &call);
        stage->subject->turn();
        expect(stage->fds[i], 0, 1);
    }
    marshal_free(&call);
}

static void open_stage(struct stage *stage, const struct subject *subject, const struct script *script)
{
    int theirs[SCRIPT_CLIENTS];
    stage->subject = subject;
    for (int i = 0; i < script->clients; i++) {
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends))
            fail("socketpair failed");
        stage->fds[i] = ends[0];
        theirs[i] = ends[1];
    }
    subject->open(theirs, script->clients);
    if (script->rule)
        subscribe(stage, script);
}

static void close_stage(const struct stage *stage, const struct script *script)
{
    stage->subject->close();
    for (int i = 0; i < script->clients; i++)
        close(stage->fds[i]);
}

static void count(const struct subject *subject, const struct script *script)
{
    struct stage stage;
    char name[80];
    open_stage(&stage, subject, script);
    for (int i = 0; i < WARM; i++)
        play(&stage, script, false);
    CALLGRIND_ZERO_STATS;
    for (int i = 0; i < ROUNDS; i++)
        play(&stage, script, true);
    snprintf(name, sizeof(name), "%s %s %d", subject->name, script->name, script->counted * ROUNDS);
    CALLGRIND_DUMP_STATS_AT(name);
    close_stage(&stage, script);
}

static void profile(const struct script *script)
{
    struct stage stage;
    open_stage(&stage, &relay, script);
    for (int i = 0; i < PROFILED_ROUNDS; i++)
        play(&stage, script, false);
    close_stage(&stage, script);
}

int main(int argc, char **argv)
{
    scripts_write();
    for (int i = 0; i < SCRIPTS; i++) {
        if (argc == 1) {
            count(&floor_relay, &scripts[i]);
            count(&relay, &scripts[i]);
        } else if (!strcmp(argv[1], scripts[i].name)) {
            profile(&scripts[i]);
        }
        for (int step = 0; step < scripts[i].n_steps; step++)
            free(scripts[i].steps[step].bytes.data);
    }
    return EXIT_SUCCESS;
}
