/* SPDX-License-Identifier: MIT */
#include "hall.h"

#include "../../transport/relay/accept/caller.h"

static void somebody_enters_step_by_step(void)
{
    struct hall h;
    hall_open(&h, true);
    hall_enter(&h);
    hall_turn(&h);
    CHECK_EQUAL(h.bus.incompletes.n, 1);
    const char *script = hall_script("");
    size_t first = (size_t)(strchr(script, '\n') - script) + 1;
    hall_say(&h, "", 1);
    hall_say(&h, script, first);
    hall_turn(&h);
    hall_hears(&h, HALL_OK);
    hall_say(&h, script + first, strlen(script) - first);
    hall_turn(&h);
    hall_hears(&h, HALL_AGREE);
    hall_say(&h, "BEGIN\r\n", 7);
    hall_turn(&h);
    CHECK(!hall_event(&h));
    CHECK_EQUAL(h.bus.incompletes.n, 1);
    struct marshal w = hall_hello(&h.client);
    hall_say(&h, w.data, w.size);
    marshal_free(&w);
    hall_turn(&h);
    client_expects(&h.client, MESSAGE_METHOD_RETURN, NULL, HALL_BUS);
    client_expects(&h.client, MESSAGE_SIGNAL, "NameAcquired", HALL_BUS);
    CHECK_EQUAL(h.bus.incompletes.n, 0);
    REQUIRE(hall_event(&h));
    CHECK_EQUAL(h.event.kind, RELAY_EVENT_ADMITTED);
    CHECK(h.event.active);
    CHECK_EQUAL(h.event.arrival->who.uid, geteuid());
    CHECK_EQUAL(h.event.arrival->who.pid, getpid());
    CHECK_EQUAL(h.event.arrival->who.gids[0], getegid());
    CHECK(h.event.arrival->who.fd_passing && h.event.arrival->who.privileged);
    CHECK(strstr(h.event.arrival->who.loginfo, "comm=\""));
    hall_close(&h);
}

/* However it is cut, also in the middle of Hello. */
static void pieces_of_every_length(void)
{
    struct hall h;
    uint8_t text[1024];
    hall_open(&h, true);
    h.client.serial = 0;
    for (size_t piece = 1; piece < 300; piece = piece < 20 ? piece + 1 : piece * 2) {
        hall_enter(&h);
        size_t size = hall_whole(&h.client, text);
        for (size_t at = 0; at < size; at += piece) {
            hall_say(&h, text + at, size - at < piece ? size - at : piece);
            loop_once(&h.bus, 0, hall_nothing, NULL);
        }
        hall_turn(&h);
        char said[64];
        CHECK_EQUAL(recv(h.client.fd, said, sizeof(HALL_OK HALL_AGREE) - 1, 0),
                    sizeof(HALL_OK HALL_AGREE) - 1);
        CHECK(memcmp(said, HALL_OK HALL_AGREE, sizeof(HALL_OK HALL_AGREE) - 1) == 0);
        client_expects(&h.client, MESSAGE_METHOD_RETURN, NULL, HALL_BUS);
        client_expects(&h.client, MESSAGE_SIGNAL, "NameAcquired", HALL_BUS);
        client_close(&h.client);
        hall_turn(&h);
        CHECK(hall_event(&h) && h.event.kind == RELAY_EVENT_ADMITTED);
        CHECK(hall_event(&h) && h.event.kind == RELAY_EVENT_LEFT);
        CHECK(!hall_event(&h));
    }
    hall_close(&h);
}

static ssize_t send_with_fd(int to, const void *bytes, size_t size, int fd)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {
        .header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct iovec iov = {(void *)bytes, size};
    struct msghdr header = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    return sendmsg(to, &header, MSG_NOSIGNAL);
}

/* What comes with BEGIN belongs to the first message that claims it. */
static void descriptors_come_along(void)
{
    struct hall h;
    uint8_t text[1024];
    hall_open(&h, true);
    hall_enter(&h);
    size_t size = hall_whole(&h.client, text);
    struct marshal w = {0};
    struct marshal_header header = {.type = MESSAGE_SIGNAL,
                                    .serial = 2,
                                    .path = SPAN("/t"),
                                    .interface = SPAN("t.t"),
                                    .member = SPAN("T"),
                                    .destination = SPAN(":1.0"),
                                    .n_fds = 1};
    marshal_begin(&w, &header);
    CHECK(marshal_end(&w));
    memcpy(text + size, w.data, w.size);
    size += w.size;
    marshal_free(&w);
    CHECK_EQUAL(send_with_fd(h.client.fd, text, size, 0), (ssize_t)size);
    hall_turn(&h);
    char said[64];
    CHECK_EQUAL(recv(h.client.fd, said, sizeof(HALL_OK HALL_AGREE) - 1, 0), sizeof(HALL_OK HALL_AGREE) - 1);
    client_expects(&h.client, MESSAGE_METHOD_RETURN, NULL, HALL_BUS);
    client_expects(&h.client, MESSAGE_SIGNAL, "NameAcquired", HALL_BUS);
    client_expects(&h.client, MESSAGE_SIGNAL, "T", ":1.0");
    CHECK_EQUAL(h.client.n_fds, 1);
    hall_close(&h);
}

/* The event has all that was said, and how much of the answers was. */
static bool is_handed_up(struct hall *h, const char *text, size_t said, uint32_t n_fds)
{
    if (!CHECK(hall_event(h)) || !CHECK_EQUAL(h->event.kind, RELAY_EVENT_HANDED_UP))
        return false;
    bool right = CHECK_EQUAL(h->event.body_size, strlen(text) + 1) &&
                 CHECK(memcmp(h->event.body + 1, text, strlen(text)) == 0);
    right &= CHECK_EQUAL(h->event.parked, said);
    right &= CHECK_EQUAL(h->event.n_fds, n_fds);
    right &= CHECK_EQUAL(h->event.listener, HALL_NUMBER);
    right &= CHECK(h->event.began > 0);
    for (uint32_t i = 0; i < h->event.n_fds; i++)
        close(h->event.fds[i]);
    close(h->event.fd);
    return right;
}

static void whatever_else_is_said_is_handed_up(void)
{
    static const char *const texts[] = {"AUTH ANONYMOUS\r\n", "AUTH\r\n", "\r\n", "BEGIN\r\n",
                                        "AUTH EXTERNAL 3031\r\n"};
    struct hall h;
    hall_open(&h, true);
    for (size_t i = 0; i < CHECK_COUNT(texts); i++) {
        hall_enter(&h);
        hall_say(&h, "", 1);
        hall_say(&h, texts[i], strlen(texts[i]));
        hall_turn(&h);
        is_handed_up(&h, texts[i], 0, 0);
        CHECK_EQUAL(h.bus.incompletes.n, 0);
        CHECK_EQUAL(atomic_load(&h.bus.incompletes.count), i + 1);
    }
    hall_close(&h);
}

static void what_was_answered_is_counted(void)
{
    struct hall h;
    char all[512];
    hall_open(&h, true);
    hall_enter(&h);
    const char *script = hall_script("");
    hall_say(&h, "", 1);
    hall_say(&h, script, strlen(script));
    hall_turn(&h);
    hall_hears(&h, HALL_OK HALL_AGREE);
    hall_say(&h, "CANCEL\r\n", 8);
    hall_turn(&h);
    snprintf(all, sizeof(all), "%sCANCEL\r\n", script);
    is_handed_up(&h, all, strlen(HALL_OK HALL_AGREE), 0);
    hall_close(&h);
}

static void early_descriptors_are_handed_up(void)
{
    struct hall h;
    hall_open(&h, true);
    hall_enter(&h);
    hall_say(&h, "", 1);
    hall_turn(&h);
    CHECK_EQUAL(send_with_fd(h.client.fd, "AUTH EXTERNAL\r\n", 15, 0), 15);
    hall_turn(&h);
    is_handed_up(&h, "AUTH EXTERNAL\r\n", 0, 1);
    hall_close(&h);
}

static void more_descriptors_than_may_come_end_it(void)
{
    struct hall h;
    hall_open(&h, true);
    h.bus.limits.max_incoming_unix_fds = 0;
    hall_enter(&h);
    CHECK_EQUAL(send_with_fd(h.client.fd, "", 1, 0), 1);
    hall_turn(&h);
    CHECK(hall_is_closed(&h));
    CHECK(!hall_event(&h));
    hall_close(&h);
}

static void long_talk_is_handed_up(void)
{
    struct hall h;
    char text[CALLER_KEPT + 100];
    hall_open(&h, true);
    hall_enter(&h);
    hall_say(&h, "", 1);
    hall_turn(&h);
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    hall_say(&h, text, sizeof(text) - 1);
    hall_turn(&h);
    is_handed_up(&h, text, 0, 0);
    hall_close(&h);
}

static void from_another_door_all_are_handed_up(void)
{
    struct hall h;
    hall_open(&h, false);
    hall_enter(&h);
    hall_say(&h, "", 1);
    hall_turn(&h);
    REQUIRE(hall_event(&h));
    CHECK_EQUAL(h.event.kind, RELAY_EVENT_HANDED_UP);
    CHECK_EQUAL(h.event.body_size, 0);
    close(h.event.fd);
    hall_close(&h);
}

static void the_policy_refuses_without_a_word(void)
{
    struct hall h;
    hall_open(&h, true);
    h.bus.owner = geteuid() + 1;
    hall_enter(&h);
    hall_say(&h, "", 1);
    const char *script = hall_script("BEGIN\r\n");
    hall_say(&h, script, strlen(script));
    hall_turn(&h);
    hall_hears(&h, HALL_OK HALL_AGREE);
    CHECK(hall_is_closed(&h));
    CHECK(!hall_event(&h));
    CHECK_EQUAL(h.bus.incompletes.n, 0);
    hall_close(&h);
}

static const struct check_test tests[] = {
    TEST(somebody_enters_step_by_step),
    TEST(pieces_of_every_length),
    TEST(descriptors_come_along),
    TEST(whatever_else_is_said_is_handed_up),
    TEST(what_was_answered_is_counted),
    TEST(early_descriptors_are_handed_up),
    TEST(more_descriptors_than_may_come_end_it),
    TEST(long_talk_is_handed_up),
    TEST(from_another_door_all_are_handed_up),
    TEST(the_policy_refuses_without_a_word),
};
CHECK_MAIN(tests)
