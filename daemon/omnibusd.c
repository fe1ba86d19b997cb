/* SPDX-License-Identifier: MIT */

/*
 * omnibusd: executes the interpreter that omnibus was installed for, isolated (-I): no variable, user's site
 * directory or current directory decides what the bus imports. It is the one beside this program, as in every
 * virtual environment, or the system's. PATH is not asked: root may start this with a user's.
 *
 * After an upgrade (--resume-fd=, the first argument) the interpreter is executed with the library of the
 * data plane preloaded, whose constructor resumes the state: clients are served before Python runs
 * (transport/resumption/). --library= says where it is, as the rehearsal has found, which was loaded from
 * there: a search could find that of another interpreter. Where the dynamic linker can't preload it
 * (AT_SECURE, a path that LD_PRELOAD can't express) Python loads it, and clients wait for that. If there is
 * no such library or no interpreter the previous program is executed instead (--previous=).
 *
 * A script would take as long, but can't try a library. An interpreter inside this program was rejected:
 * Debian's python3 is linked statically, and libpython is another package.
 */

#define _GNU_SOURCE
#include "base/sealed.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define SYSTEM_PYTHON "/usr/bin/python3"
#define RESUME "--resume-fd="
#define LIBRARY "--library="
#define PREVIOUS "--previous="

static char returned[] = "--returned"; /* tells a program that the one after it could not go on */

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* The path by which this program was executed, as an upgrade will execute it again. */
static const char *execution_path(const char *name)
{
    const char *path = (const char *)getauxval(AT_EXECFN); /* NOLINT(performance-no-int-to-ptr) */
    return path ? path : name;
}

/* The interpreter beside the file that the path leads to, also through links. NULL: no memory, or no file. */
static char *python_beside(const char *path)
{
    char *self = realpath(path, NULL), *python = NULL;
    if (self && asprintf(&python, "%.*s/python3", (int)(strrchr(self, '/') - self), self) < 0)
        python = NULL;
    free(self);
    return python;
}

/* What an upgrade has put in front of the arguments; NULL without one, and without a state of ours. */
struct upgrade {
    char *resume, *library, *previous;
    char **rest;
    const char *others; /* LD_PRELOAD, as it was */
};

/* A decimal number; -1: it is none. */
static int descriptor(const char *text)
{
    size_t n = strspn(text, "0123456789");
    return n > 0 && n < 10 && text[n] == '\0' ? (int)strtol(text, NULL, 10) : -1;
}

static struct upgrade read_upgrade(char **arguments)
{
    struct upgrade found = {.others = getenv("LD_PRELOAD")};
    if (!arguments[0] || !begins(arguments[0], RESUME))
        return found;
    if (!sealed_is_ours(descriptor(arguments[0] + strlen(RESUME))))
        return found; /* the interpreter will say so */
    for (found.rest = arguments + 1; *found.rest; found.rest++) {
        if (begins(*found.rest, LIBRARY))
            found.library = *found.rest + strlen(LIBRARY);
        else if (begins(*found.rest, PREVIOUS))
            found.previous = *found.rest + strlen(PREVIOUS);
        else
            break;
    }
    found.resume = arguments[0];
    return found;
}

static bool is_usable(const char *library)
{
    void *loaded = dlopen(library, RTLD_NOW);
    if (!loaded)
        fprintf(stderr, "omnibusd: %s\n", dlerror());
    return loaded;
}

/* What was to be preloaded already follows. The library takes its own path out of the variable. */
static void preload(const char *library, const char *others)
{
    char *value = NULL;
    if (*library != '/' || strpbrk(library, ": "))
        return;
    if (asprintf(&value, "%s%s%s", library, others ? ":" : "", others ? others : "") >= 0)
        setenv("LD_PRELOAD", value, 1);
    free(value);
}

/* The previous program gets the state as it is; nothing has been done with it. Returns if there is none. */
static void go_back(const struct upgrade *upgrade, int n)
{
    char **command = upgrade->previous ? calloc((size_t)n + 4, sizeof(*command)) : NULL;
    size_t used = 0;
    if (!command)
        return;
    if (upgrade->others)
        setenv("LD_PRELOAD", upgrade->others, 1);
    else
        unsetenv("LD_PRELOAD");
    fprintf(stderr, "omnibusd: can't go on; going back to %s\n", upgrade->previous);
    command[used++] = upgrade->previous;
    command[used++] = upgrade->resume;
    command[used++] = returned;
    for (char **at = upgrade->rest; *at; at++)
        command[used++] = *at;
    execv(upgrade->previous, command);
    fprintf(stderr, "omnibusd: %s: %s\n", upgrade->previous, strerror(errno));
    free(command);
}

/* Returns if that fails. False: there is no such interpreter. */
static bool execute(const char *python, char **arguments, int n)
{
    const char *const own[] = {python, "-I", "-m", "omnibus.daemon.main"};
    const size_t n_own = sizeof(own) / sizeof(*own);
    char **command = calloc(n_own + (size_t)n + 1, sizeof(*command));
    if (!command || access(python, X_OK) < 0) {
        free(command);
        return false;
    }
    memcpy(command, own, sizeof(own));
    memcpy(command + n_own, arguments, (size_t)n * sizeof(*command));
    execv(python, command);
    fprintf(stderr, "omnibusd: %s: %s\n", python, strerror(errno));
    free(command);
    return true;
}

int main(int argc, char **argv)
{
    const char *path = execution_path(argc > 0 ? argv[0] : "omnibusd");
    char **arguments = argc > 0 ? argv + 1 : argv;
    int n = argc > 0 ? argc - 1 : 0;
    char *python = python_beside(path);
    unsetenv("PYTHONEXECUTABLE"); /* read in spite of -I */
    setenv("OMNIBUS_PROGRAM", path, 1);
    struct upgrade upgrade = read_upgrade(arguments);
    bool usable = upgrade.library && is_usable(upgrade.library);
    if (usable || !upgrade.library || !upgrade.previous) {
        if (usable)
            preload(upgrade.library, upgrade.others);
        if (!(python && execute(python, arguments, n)) && !execute(SYSTEM_PYTHON, arguments, n))
            fprintf(stderr, "omnibusd: there is no %s, and no %s\n", python ? python : "python3 beside it",
                    SYSTEM_PYTHON);
    }
    go_back(&upgrade, n);
    free(python);
    return 1;
}
