/* SPDX-License-Identifier: MIT */
#include "accept_fixture.h"

#include "../../transport/relay/accept/handshake.h"

static void client_authenticates_step_by_step(void)
{
    struct accept_fixture h;
    accept_open(&h, true);
    accept_connect(&h);
    accept_turn(&h);
    CHECK_EQUAL(h.bus.incompletes.n, 1);
    const char *script = accept_handshake("");
    size_t first = (size_t)(strchr(script, '\n') - script) + 1;
    accept_send(&h, "", 1);
    accept_send(&h, script, first);
    accept_turn(&h);
    accept_receives(&h, ACCEPT_OK);
    accept_send(&h, script + first, strlen(script) - first);
    accept_turn(&h);
    accept_receives(&h, ACCEPT_AGREE);
    accept_send(&h, "BEGIN\r\n", 7);
    accept_turn(&h);
    CHECK(!accept_event(&h));
    CHECK_EQUAL(h.bus.incompletes.n, 1);
    struct marshal w = accept_hello(&h.client);
    accept_send(&h, w.data, w.size);
    marshal_free(&w);
    accept_turn(&h);
    client_expects(&h.client, MESSAGE_METHOD_RETURN, NULL, ACCEPT_BUS);
    client_expects(&h.client, MESSAGE_SIGNAL, "NameAcquired", ACCEPT_BUS);
    CHECK_EQUAL(h.bus.incompletes.n, 0);
    REQUIRE(accept_event(&h));
    CHECK_EQUAL(h.event.kind, RELAY_EVENT_ADMITTED);
    CHECK(h.event.active);
    CHECK_EQUAL(h.event.credentials->uid, geteuid());
    CHECK_EQUAL(h.event.credentials->pid, getpid());
    CHECK_EQUAL(h.event.credentials->gids[0], getegid());
    CHECK(h.event.credentials->fd_passing && h.event.credentials->privileged);
    CHECK(strstr(h.event.credentials->loginfo, "comm=\""));
    accept_close(&h);
}

/* However it is split, even in the middle of Hello. */
static void handshake_may_come_in_pieces_of_every_length(void)
{
    struct accept_fixture h;
    uint8_t text[1024];
    accept_open(&h, true);
    h.client.serial = 0;
    for (size_t piece = 1; piece < 300; piece = piece < 20 ? piece + 1 : piece * 2) {
        accept_connect(&h);
        size_t size = accept_handshake_and_hello(&h.client, text);
        for (size_t at = 0; at < size; at += piece) {
            accept_send(&h, text + at, size - at < piece ? size - at : piece);
            loop_once(&h.bus, 0, accept_no_commands, NULL);
        }
        accept_turn(&h);
        char said[64];
        CHECK_EQUAL(recv(h.client.fd, said, sizeof(ACCEPT_OK ACCEPT_AGREE) - 1, 0),
                    sizeof(ACCEPT_OK ACCEPT_AGREE) - 1);
        CHECK(memcmp(said, ACCEPT_OK ACCEPT_AGREE, sizeof(ACCEPT_OK ACCEPT_AGREE) - 1) == 0);
        client_expects(&h.client, MESSAGE_METHOD_RETURN, NULL, ACCEPT_BUS);
        client_expects(&h.client, MESSAGE_SIGNAL, "NameAcquired", ACCEPT_BUS);
        client_close(&h.client);
        accept_turn(&h);
        CHECK(accept_event(&h) && h.event.kind == RELAY_EVENT_ADMITTED);
        CHECK(accept_event(&h) && h.event.kind == RELAY_EVENT_LEFT);
        CHECK(!accept_event(&h));
    }
    accept_close(&h);
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

/* Descriptors received with BEGIN belong to the first message that claims them. */
static void descriptors_with_begin_belong_to_the_first_message(void)
{
    struct accept_fixture h;
    uint8_t text[1024];
    accept_open(&h, true);
    accept_connect(&h);
    size_t size = accept_handshake_and_hello(&h.client, text);
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
    accept_turn(&h);
    char said[64];
    CHECK_EQUAL(recv(h.client.fd, said, sizeof(ACCEPT_OK ACCEPT_AGREE) - 1, 0),
                sizeof(ACCEPT_OK ACCEPT_AGREE) - 1);
    client_expects(&h.client, MESSAGE_METHOD_RETURN, NULL, ACCEPT_BUS);
    client_expects(&h.client, MESSAGE_SIGNAL, "NameAcquired", ACCEPT_BUS);
    client_expects(&h.client, MESSAGE_SIGNAL, "T", ":1.0");
    CHECK_EQUAL(h.client.n_fds, 1);
    accept_close(&h);
}

/* Checks that the event has the client's whole input, and the count of sent replies. */
static bool is_handed_up(struct accept_fixture *h, const char *text, size_t said, uint32_t n_fds)
{
    if (!CHECK(accept_event(h)) || !CHECK_EQUAL(h->event.kind, RELAY_EVENT_HANDED_UP))
        return false;
    bool right = CHECK_EQUAL(h->event.body_size, strlen(text) + 1) &&
                 CHECK(memcmp(h->event.body + 1, text, strlen(text)) == 0);
    right &= CHECK_EQUAL(h->event.parked, said);
    right &= CHECK_EQUAL(h->event.n_fds, n_fds);
    right &= CHECK_EQUAL(h->event.listener, ACCEPT_NUMBER);
    right &= CHECK(h->event.began > 0);
    for (uint32_t i = 0; i < h->event.n_fds; i++)
        close(h->event.fds[i]);
    close(h->event.fd);
    return right;
}

static void unusual_handshakes_go_to_the_control_plane(void)
{
    static const char *const texts[] = {"AUTH ANONYMOUS\r\n", "AUTH\r\n", "\r\n", "BEGIN\r\n",
                                        "AUTH EXTERNAL 3031\r\n"};
    struct accept_fixture h;
    accept_open(&h, true);
    for (size_t i = 0; i < CHECK_COUNT(texts); i++) {
        accept_connect(&h);
        accept_send(&h, "", 1);
        accept_send(&h, texts[i], strlen(texts[i]));
        accept_turn(&h);
        is_handed_up(&h, texts[i], 0, 0);
        CHECK_EQUAL(h.bus.incompletes.n, 0);
        CHECK_EQUAL(atomic_load(&h.bus.incompletes.count), i + 1);
    }
    accept_close(&h);
}

/* As of GDBus: AUTH alone, before the usual handshake. */
static void client_may_ask_for_the_only_mechanism(void)
{
    struct accept_fixture h;
    accept_open(&h, true);
    CONTAINER_OF(h.bus.doors.next, struct door, in_doors)->only_external = true;
    accept_connect(&h);
    accept_send(&h, "", 1);
    accept_send(&h, "AUTH\r\n", 6);
    accept_turn(&h);
    accept_receives(&h, "REJECTED EXTERNAL\r\n");
    const char *script = accept_handshake("BEGIN\r\n");
    accept_send(&h, script, strlen(script));
    accept_turn(&h);
    accept_receives(&h, ACCEPT_OK ACCEPT_AGREE);
    struct marshal w = accept_hello(&h.client);
    accept_send(&h, w.data, w.size);
    marshal_free(&w);
    accept_turn(&h);
    REQUIRE(accept_event(&h));
    CHECK_EQUAL(h.event.kind, RELAY_EVENT_ADMITTED);
    accept_close(&h);
}

static void client_that_asks_again_goes_to_the_control_plane(void)
{
    struct accept_fixture h;
    accept_open(&h, true);
    CONTAINER_OF(h.bus.doors.next, struct door, in_doors)->only_external = true;
    accept_connect(&h);
    accept_send(&h, "", 1);
    accept_send(&h, "AUTH\r\n", 6);
    accept_turn(&h);
    accept_receives(&h, "REJECTED EXTERNAL\r\n");
    accept_send(&h, "AUTH\r\n", 6);
    accept_turn(&h);
    is_handed_up(&h, "AUTH\r\nAUTH\r\n", strlen("REJECTED EXTERNAL\r\n"), 0);
    accept_close(&h);
}

static void handed_up_handshake_counts_sent_replies(void)
{
    struct accept_fixture h;
    char all[512];
    accept_open(&h, true);
    accept_connect(&h);
    const char *script = accept_handshake("");
    accept_send(&h, "", 1);
    accept_send(&h, script, strlen(script));
    accept_turn(&h);
    accept_receives(&h, ACCEPT_OK ACCEPT_AGREE);
    accept_send(&h, "CANCEL\r\n", 8);
    accept_turn(&h);
    snprintf(all, sizeof(all), "%sCANCEL\r\n", script);
    is_handed_up(&h, all, strlen(ACCEPT_OK ACCEPT_AGREE), 0);
    accept_close(&h);
}

static void early_descriptors_go_to_the_control_plane(void)
{
    struct accept_fixture h;
    accept_open(&h, true);
    accept_connect(&h);
    accept_send(&h, "", 1);
    accept_turn(&h);
    CHECK_EQUAL(send_with_fd(h.client.fd, "AUTH EXTERNAL\r\n", 15, 0), 15);
    accept_turn(&h);
    is_handed_up(&h, "AUTH EXTERNAL\r\n", 0, 1);
    accept_close(&h);
}

static void too_many_descriptors_end_the_handshake(void)
{
    struct accept_fixture h;
    accept_open(&h, true);
    h.bus.limits.max_incoming_unix_fds = 0;
    accept_connect(&h);
    CHECK_EQUAL(send_with_fd(h.client.fd, "", 1, 0), 1);
    accept_turn(&h);
    CHECK(accept_is_closed(&h));
    CHECK(!accept_event(&h));
    accept_close(&h);
}

static void long_handshake_goes_to_the_control_plane(void)
{
    struct accept_fixture h;
    char text[HANDSHAKE_KEPT + 100];
    accept_open(&h, true);
    accept_connect(&h);
    accept_send(&h, "", 1);
    accept_turn(&h);
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    accept_send(&h, text, sizeof(text) - 1);
    accept_turn(&h);
    is_handed_up(&h, text, 0, 0);
    accept_close(&h);
}

static void other_doors_leave_handshakes_to_the_control_plane(void)
{
    struct accept_fixture h;
    accept_open(&h, false);
    accept_connect(&h);
    accept_send(&h, "", 1);
    accept_turn(&h);
    REQUIRE(accept_event(&h));
    CHECK_EQUAL(h.event.kind, RELAY_EVENT_HANDED_UP);
    CHECK_EQUAL(h.event.body_size, 0);
    close(h.event.fd);
    accept_close(&h);
}

static void closed_door_accepts_no_more(void)
{
    struct accept_fixture h;
    accept_open(&h, false);
    doors_close(&h.bus, ACCEPT_NUMBER + 1);
    accept_connect(&h);
    accept_turn(&h);
    REQUIRE(accept_event(&h));
    CHECK_EQUAL(h.event.kind, RELAY_EVENT_HANDED_UP);
    close(h.event.fd);
    doors_close(&h.bus, ACCEPT_NUMBER);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQUAL(connect(fd, (const struct sockaddr *)&h.address, h.address_size), -1);
    CHECK_EQUAL(errno, ECONNREFUSED);
    close(fd);
    accept_close(&h);
}

/* Its handshakes refer to it. */
static void simple_door_stays_open(void)
{
    struct accept_fixture h;
    accept_open(&h, true);
    accept_connect(&h);
    accept_turn(&h);
    doors_close(&h.bus, ACCEPT_NUMBER);
    CHECK_EQUAL(h.bus.incompletes.n, 1);
    accept_send(&h, "", 1);
    accept_send(&h, "AUTH\r\n", 6);
    accept_turn(&h);
    accept_close(&h);
}

static void policy_denial_closes_the_connection_silently(void)
{
    struct accept_fixture h;
    accept_open(&h, true);
    h.bus.owner = geteuid() + 1;
    accept_connect(&h);
    accept_send(&h, "", 1);
    const char *script = accept_handshake("BEGIN\r\n");
    accept_send(&h, script, strlen(script));
    accept_turn(&h);
    accept_receives(&h, ACCEPT_OK ACCEPT_AGREE);
    CHECK(accept_is_closed(&h));
    CHECK(!accept_event(&h));
    CHECK_EQUAL(h.bus.incompletes.n, 0);
    accept_close(&h);
}

static const struct check_test tests[] = {
    TEST(client_authenticates_step_by_step),
    TEST(handshake_may_come_in_pieces_of_every_length),
    TEST(descriptors_with_begin_belong_to_the_first_message),
    TEST(unusual_handshakes_go_to_the_control_plane),
    TEST(client_may_ask_for_the_only_mechanism),
    TEST(client_that_asks_again_goes_to_the_control_plane),
    TEST(handed_up_handshake_counts_sent_replies),
    TEST(early_descriptors_go_to_the_control_plane),
    TEST(too_many_descriptors_end_the_handshake),
    TEST(long_handshake_goes_to_the_control_plane),
    TEST(other_doors_leave_handshakes_to_the_control_plane),
    TEST(closed_door_accepts_no_more),
    TEST(simple_door_stays_open),
    TEST(policy_denial_closes_the_connection_silently),
};
CHECK_MAIN(tests)
