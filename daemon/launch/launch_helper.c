/* SPDX-License-Identifier: MIT */

/*
 * omnibus-daemon-launch-helper NAME: starts a service of the system bus as the user in its service file. It
 * is to be installed setuid root, executable by the bus's group alone:
 *
 *     install -o root -g messagebus -m 4750 omnibus-daemon-launch-helper /usr/libexec/
 *
 * The bus has dropped its privileges, and can't do this itself. The caller only chooses the name: the program
 * and its user come from files of the administrator, and the environment is neither used nor passed on.
 * LAUNCH_HELPER_TEST builds one for tests, which takes another configuration, checks no caller and keeps its
 * user; it refuses to run with privileges that its caller lacks.
 */

#define _GNU_SOURCE
#include "launch_helper.h"

#include "bus_config.h"
#include "command_line.h"
#include "oom_score.h"
#include "service_file.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYSTEM_CONFIG_FILE
#define SYSTEM_CONFIG_FILE "/usr/share/dbus-1/system.conf"
#endif
#ifndef SYSTEM_BUS_ADDRESS
#define SYSTEM_BUS_ADDRESS "unix:path=/run/dbus/system_bus_socket"
#endif

#define MAX_CONFIG_SIZE (1u << 20)
#define MAX_SERVICE_SIZE (128u << 10)
#define MAX_NAME_LENGTH 255u

static char *environment[] = {"DBUS_STARTER_ADDRESS=" SYSTEM_BUS_ADDRESS, "DBUS_STARTER_BUS_TYPE=system",
                              NULL};

__attribute__((noreturn, format(printf, 2, 3))) static void fail(enum launch_exit code, const char *format,
                                                                 ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("omnibus-daemon-launch-helper: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit((int)code);
}

/* Leaves 0, 1 and 2 open, and nothing else, whatever the caller had open. */
static void sanitize_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd < 0)
        exit(LAUNCH_SETUP_FAILED);
    close(fd);
    syscall(SYS_close_range, 3u, ~0u, 0u);
}

static bool is_element_character(char c, bool first)
{
    bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || c == '-';
    return letter || (!first && c >= '0' && c <= '9');
}

/* A well-known bus name: it has no slash, and is no path. */
static bool is_bus_name(const char *name)
{
    bool first = true;
    unsigned dots = 0;
    if (strlen(name) > MAX_NAME_LENGTH)
        return false;
    for (; *name; name++) {
        if (*name == '.' && !first) {
            dots++;
            first = true;
        } else if (is_element_character(*name, first)) {
            first = false;
        } else {
            return false;
        }
    }
    return dots > 0 && !first;
}

/* NULL with errno. */
static char *read_descriptor(int fd, size_t max, size_t *size)
{
    char *data = malloc(max + 1);
    size_t n = 0;
    while (data && n <= max) {
        ssize_t got = read(fd, data + n, max + 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            *size = n;
            if (got == 0)
                return data;
            break;
        }
        n += (size_t)got;
    }
    if (data && n > max)
        errno = EFBIG;
    free(data);
    return NULL;
}

/* A regular file of at most max bytes; NULL with errno. */
static char *read_file(const char *path, size_t max, size_t *size)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    char *data = NULL;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        data = read_descriptor(fd, max, size);
    close(fd);
    return data;
}

static const char *config_file(void)
{
#ifdef LAUNCH_HELPER_TEST
    const char *path = getenv("TEST_LAUNCH_HELPER_CONFIG");
    if (getuid() != geteuid() || getgid() != getegid())
        abort();
    if (!path)
        fail(LAUNCH_SETUP_FAILED, "TEST_LAUNCH_HELPER_CONFIG is not set");
    return path;
#else
    return SYSTEM_CONFIG_FILE;
#endif
}

static void read_config(struct bus_config *config, const char *path)
{
    size_t size;
    char *text = read_file(path, MAX_CONFIG_SIZE, &size);
    if (!text)
        fail(LAUNCH_CONFIG_INVALID, "can't read %s", path);
    int error = bus_config_read(config, text, size);
    free(text);
    if (error < 0)
        fail(error == -ENOMEM ? LAUNCH_NO_MEMORY : LAUNCH_CONFIG_INVALID, "can't make sense of %s", path);
    if (!config->user)
        fail(LAUNCH_CONFIG_INVALID, "no <user> in %s", path);
}

/* Only the bus may use the privileges of the helper, and without them it can't work. */
static void check_caller(const struct bus_config *config)
{
#ifdef LAUNCH_HELPER_TEST
    (void)config;
#else
    const struct passwd *user = getpwnam(config->user);
    if (!user)
        fail(LAUNCH_PERMISSIONS_INVALID, "cannot find user '%s'", config->user);
    if (user->pw_uid != getuid())
        fail(LAUNCH_PERMISSIONS_INVALID, "not invoked from user '%s'", config->user);
    if (geteuid() != 0)
        fail(LAUNCH_PERMISSIONS_INVALID, "not setuid root");
#endif
}

/* The first readable file in the order of the directories counts. */
static void find_service(struct service_file *service, const struct bus_config *config, const char *name)
{
    for (size_t i = 0; i < config->n_directories; i++) {
        char *path;
        size_t size;
        if (asprintf(&path, "%s/%s.service", config->directories[i], name) < 0)
            fail(LAUNCH_NO_MEMORY, "no memory");
        char *text = read_file(path, MAX_SERVICE_SIZE, &size);
        free(path);
        int error = text ? service_file_read(service, text, size) : -ENOENT;
        free(text);
        if (error == -ENOMEM)
            fail(LAUNCH_NO_MEMORY, "no memory");
        if (error == 0)
            return;
    }
    fail(LAUNCH_SERVICE_NOT_FOUND, "the name %s was not provided by any .service files", name);
}

static void check_service(const struct service_file *service, const char *name)
{
    if (!service->name || !service->exec || !service->user)
        fail(LAUNCH_FILE_INVALID, "the file of %s has no Name, no Exec or no User", name);
    if (strcmp(service->name, name) != 0)
        fail(LAUNCH_FILE_INVALID, "the file of %s is for '%s'", name, service->name);
}

static void become(const char *name)
{
#ifdef LAUNCH_HELPER_TEST
    (void)name;
#else
    const struct passwd *user = getpwnam(name);
    if (!user)
        fail(LAUNCH_SETUP_FAILED, "cannot find user '%s'", name);
    uid_t uid = user->pw_uid;
    gid_t gid = user->pw_gid;
    if (initgroups(name, gid) < 0)
        fail(LAUNCH_SETUP_FAILED, "could not initialize groups");
    if (setresgid(gid, gid, gid) < 0)
        fail(LAUNCH_SETUP_FAILED, "cannot setgid group %u", gid);
    if (setresuid(uid, uid, uid) < 0)
        fail(LAUNCH_SETUP_FAILED, "cannot setuid user %u", uid);
    if (uid != 0 && setuid(0) == 0)
        fail(LAUNCH_SETUP_FAILED, "the rights of root can't be given up");
#endif
}

static void execute(const char *command)
{
    char **argv;
    int error = command_line_split(command, &argv);
    if (error < 0)
        fail(error == -ENOMEM ? LAUNCH_NO_MEMORY : LAUNCH_INVALID_ARGS, "unclosed quotes in: %s", command);
    execve(argv[0], argv, environment);
    int why = errno;
    fprintf(stderr, "omnibus-daemon-launch-helper: failed to execute %s: %s\n", argv[0], strerror(why));
    free(argv);
}

int main(int argc, char **argv)
{
    struct bus_config config;
    struct service_file service;
    const char *path = config_file();
    environ = environment;
    sanitize_descriptors();
    if (argc != 2)
        fail(LAUNCH_INVALID_ARGS, "usage: omnibus-daemon-launch-helper service.to.activate");
    if (!is_bus_name(argv[1]))
        fail(LAUNCH_NAME_INVALID, "'%s' is not a valid bus name", argv[1]);
    read_config(&config, path);
    check_caller(&config);
    find_service(&service, &config, argv[1]);
    bus_config_clear(&config);
    check_service(&service, argv[1]);
    oom_score_reset();
    become(service.user);
    execute(service.exec);
    service_file_clear(&service);
    return LAUNCH_EXEC_FAILED;
}
