/* SPDX-License-Identifier: MIT */
#include "plane_fixture.h"

#include "../../transport/relay/base/wake.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* Blocks the system call for the rest of this process, as a sandbox that does not know it. */
static bool forbid_eventfd(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_eventfd2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(filter) / sizeof(*filter), .filter = filter};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static bool is_readable(const struct wake *wake)
{
    struct pollfd poller = {.fd = wake->reader, .events = POLLIN};
    return poll(&poller, 1, 0) == 1;
}

static void check_wake(struct wake *wake, unsigned times)
{
    CHECK(!is_readable(wake));
    for (unsigned i = 0; i < times; i++)
        wake_up(wake);
    CHECK(is_readable(wake));
    for (unsigned i = 0; i < times && is_readable(wake); i++)
        wake_clear(wake);
    CHECK(!is_readable(wake));
    wake_close(wake);
    CHECK_EQUAL(wake->reader, -1);
    CHECK_EQUAL(wake->writer, -1);
    wake_close(wake);
}

static void an_eventfd_wakes(void)
{
    struct wake wake;
    REQUIRE(wake_open(&wake) == 0);
    CHECK_EQUAL(wake.reader, wake.writer);
    check_wake(&wake, 3);
}

/* Even more often than fit the pipe. */
static void a_pipe_wakes_where_eventfds_are_forbidden(void)
{
    struct wake wake;
    if (!forbid_eventfd())
        SKIP("system calls can't be filtered here");
    REQUIRE(wake_open(&wake) == 0);
    CHECK(wake.reader != wake.writer);
    check_wake(&wake, 20000);
}

static void ask(struct plane *p, struct client *c, const char *member)
{
    struct marshal w = client_call(c, "org.freedesktop.DBus", member, NULL);
    client_send(c, &w);
    plane_event(p, RELAY_EVENT_CALL);
    relay_reply(p->relay, p->event.peer, p->event.serial, "", NULL, 0, false);
    relay_resume(p->relay, p->event.peer);
    relay_commit(p->relay);
    client_expects(c, MESSAGE_METHOD_RETURN, NULL, "org.freedesktop.DBus");
}

static void planes_wake_each_other_by_pipes(void)
{
    struct plane p;
    if (!forbid_eventfd())
        SKIP("system calls can't be filtered here");
    plane_open(&p);
    struct client *c = plane_connect(&p, 0);
    for (int i = 0; i < 10000; i++) {
        relay_resume(p.relay, 0);
        relay_commit(p.relay);
    }
    for (int i = 0; i < 10; i++)
        ask(&p, c, "Cold");
    plane_close(&p);
}

struct turns {
    struct plane p;
    pthread_t thread;
    atomic_bool stop;
};

/* A control plane's loop. */
static void *take_turns(void *context)
{
    struct turns *t = context;
    int wait = 0;
    while (!atomic_load(&t->stop)) {
        struct pollfd poller = {.fd = relay_poll_fd(t->p.relay), .events = POLLIN};
        poll(&poller, 1, wait < 0 || wait > 10 ? 10 : wait);
        wait = relay_turn(t->p.relay);
    }
    return NULL;
}

static void relay_turn_serves_without_a_thread(void)
{
    struct turns t = {.stop = false};
    plane_prepare(&t.p);
    REQUIRE(pthread_create(&t.thread, NULL, take_turns, &t) == 0);
    struct client *a = plane_connect(&t.p, 0), *b = plane_connect(&t.p, 1);
    ask(&t.p, a, "Cold");
    struct marshal w = client_signal(a, ":1.1", "Hail");
    client_send(a, &w);
    client_expects(b, MESSAGE_SIGNAL, "Hail", ":1.0");
    atomic_store(&t.stop, true);
    pthread_join(t.thread, NULL);
    /* the last command is executed before the end */
    relay_error(t.p.relay, 1, 1, "last.Words", "");
    relay_commit(t.p.relay);
    int fd = b->fd;
    b->fd = -1;
    relay_free(t.p.relay);
    char bytes[4096];
    CHECK(recv(fd, bytes, sizeof(bytes), 0) > 0);
    close(fd);
    free(b->data);
    b->data = NULL;
    client_close(a);
}

static const struct check_test tests[] = {
    TEST(an_eventfd_wakes),
    TEST(relay_turn_serves_without_a_thread),
    TEST(a_pipe_wakes_where_eventfds_are_forbidden),
    TEST(planes_wake_each_other_by_pipes),
};
CHECK_MAIN(tests)
