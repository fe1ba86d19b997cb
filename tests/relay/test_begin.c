/* SPDX-License-Identifier: MIT */

/* Start and end of a data plane: a missing resource is an error, and nothing leaks. */

#include "plane_fixture.h"

#include <errno.h>
#include <sys/resource.h>

#define GUID "0123456789abcdef0123456789abcdef"

/* The lowest descriptor that is not open. */
static int lowest_free(void)
{
    int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
    close(fd);
    return fd;
}

static void relay_start_without_memory_fails(void)
{
    struct relay *relay = NULL;
    int before = lowest_free(), error = -ENOMEM;
    for (long n = 0; error < 0 && n < 1000; n++) {
        check_allocations = n;
        error = relay_new(&relay, GUID);
        check_allocations = -1;
        CHECK(error == 0 || error == -ENOMEM);
        CHECK(error == 0 || lowest_free() == before);
    }
    CHECK_EQUAL(error, 0);
    relay_free(relay);
    CHECK_EQUAL(lowest_free(), before);
}

static void relay_start_without_descriptors_fails(void)
{
    struct rlimit limit, fewer;
    struct relay *relay = NULL;
    int before = lowest_free(), error = -EMFILE;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    for (int n = 0; error < 0 && n < 10; n++) {
        fewer = (struct rlimit){.rlim_cur = (rlim_t)(before + n), .rlim_max = limit.rlim_max};
        REQUIRE(setrlimit(RLIMIT_NOFILE, &fewer) == 0);
        error = relay_new(&relay, GUID);
        setrlimit(RLIMIT_NOFILE, &limit);
        CHECK(error == 0 || error == -EMFILE);
        CHECK(error == 0 || lowest_free() == before);
    }
    CHECK_EQUAL(error, 0);
    relay_free(relay);
    CHECK_EQUAL(lowest_free(), before);
}

static const struct check_test tests[] = {
    TEST(relay_start_without_memory_fails),
    TEST(relay_start_without_descriptors_fails),
};
CHECK_MAIN(tests)
