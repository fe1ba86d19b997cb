/* SPDX-License-Identifier: MIT */
#include "check.h"

#include "../../transport/relay/accept/peer_creds.h"
#include "../../transport/relay/api/relay.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* The gid comes first, and each group only once. */
static void groups_are_listed_once(void)
{
    static struct relay_identity identity = {.gid = 7, .n_gids = 6, .gids = {1, 7, 1, 1000, 7, 2}};
    uint32_t gids[7], expected[] = {7, 1, 1000, 2};
    REQUIRE(peer_creds_groups(&identity, gids) == CHECK_COUNT(expected));
    CHECK(memcmp(gids, expected, sizeof(expected)) == 0);
    identity.n_gids = 0;
    CHECK_EQUAL(peer_creds_groups(&identity, gids), 1);
}

/* The reference's format: blanks for the NULs of the command line, and no control characters. */
static void description_is_printable(void)
{
    static struct relay_identity identity = {.uid = 1000,
                                             .pid = 42,
                                             .command = "a\0b\x1b\xff",
                                             .command_size = 6,
                                             .label = "label",
                                             .label_size = 5};
    char text[128];
    peer_creds_describe(&identity, text, sizeof(text));
    CHECK_SPAN(span_of(text), "uid=1000 pid=42 comm=\"a b?? \" label=\"label\"");
    identity.label_size = 0;
    identity.pid = 0;
    peer_creds_describe(&identity, text, sizeof(text));
    CHECK_SPAN(span_of(text), "uid=1000");
    identity.pid = 42;
    peer_creds_describe(&identity, text, 18);
    CHECK_SPAN(span_of(text), "uid=1000 pid=42 c");
}

static void credentials_are_read_from_the_socket(void)
{
    struct peer_creds_user user;
    static struct relay_identity identity;
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    CHECK(peer_creds_user(ends[0], &user));
    CHECK_EQUAL(user.uid, geteuid());
    CHECK_EQUAL(user.gid, getegid());
    CHECK_EQUAL(user.pid, getpid());
    peer_creds_more(ends[0], &user, &identity);
    CHECK(identity.n_gids >= 0 && identity.command_size > 0);
    CHECK(identity.command[identity.command_size - 1] != '\0');
    int process = peer_creds_process(ends[0]);
    if (process >= 0)
        CHECK_EQUAL(fcntl(process, F_GETFD), FD_CLOEXEC);
    close(process);
    close(ends[0]);
    close(ends[1]);
    CHECK(!peer_creds_user(-1, &user));
    CHECK_EQUAL(peer_creds_process(-1), -1);
}

static void write_user(const char *directory, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/1000", directory);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK_EQUAL(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void users_at_the_console_are_known(void)
{
    static const struct {
        const char *text;
        bool there;
    } cases[] = {
        {"", false},
        {"NAME=x\nONLINE_SEATS=seat0\nSTATE=active\n", true},
        {"ONLINE_SEATS=seat0", true},
        {"ONLINE_SEATS=\"seat0 seat1\"\n", true},
        {"ONLINE_SEATS=\nSEATS=seat0\n", false},
        {"ONLINE_SEATS=\"\"\nSEATS=seat0\n", false},
        {"SEATS=seat0\n", false},
        {"NOT_ONLINE_SEATS=seat0\n", false},
        {"ONLINE_SEATS\n=seat0\n", false},
        {"\n\n  ONLINE_SEATS=seat0\n", true},
    };
    char directory[] = "/tmp/test_peer_creds.XXXXXX", path[128];
    REQUIRE(mkdtemp(directory));
    CHECK(!relay_at_console(directory, 1000));
    for (size_t i = 0; i < CHECK_COUNT(cases); i++) {
        check_case = cases[i].text;
        write_user(directory, cases[i].text);
        CHECK_EQUAL(relay_at_console(directory, 1000), cases[i].there);
    }
    check_case = NULL;
    CHECK(!relay_at_console(directory, 1001));
    snprintf(path, sizeof(path), "%s/1000", directory);
    unlink(path);
    rmdir(directory);
}

static const struct check_test tests[] = {
    TEST(groups_are_listed_once),
    TEST(description_is_printable),
    TEST(credentials_are_read_from_the_socket),
    TEST(users_at_the_console_are_known),
};
CHECK_MAIN(tests)
