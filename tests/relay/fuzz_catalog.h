/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_FUZZ_CATALOG_H
#define OMNIBUS_FUZZ_CATALOG_H

/*
 * The catalogue of services, which the control plane reads as daemon/activation does: all directories are
 * followed, and links in them; a question about services that comes with a catalogue which is not current
 * causes the next reading. A service is named as its file is.
 *
 * As long as the data plane takes a catalogue for current, a new reading finds the same.
 */

#include "fuzz_control.h"

#include <stdio.h>

#define CATALOG_SUFFIX 8u  /* of .service */
#define CATALOG_CHANGES 64 /* bit of control.directories: files change during each reading */
#define CATALOG_TURNS 1000 /* within which commands are applied */
#define CATALOG_CUT 128    /* lists that are cut come first */

/* Whether the file of a name stands for a service. */
static inline bool is_service(int name)
{
    return strlen(file_names[name]) > CATALOG_SUFFIX;
}

static inline struct span service_of(int name)
{
    return (struct span){file_names[name], (uint32_t)strlen(file_names[name]) - CATALOG_SUFFIX};
}

static inline void follow(struct follower *follower, const char *path)
{
    bool running = world.running;
    world.running = true;
    if (follower)
        follower_add(follower, path);
    world.running = running;
}

/* The services of a directory, as bits of their names. follower NULL: nothing is followed. */
static inline uint32_t directory_read(struct follower *follower, const char *directory)
{
    uint32_t found = 0;
    char path[64];
    const struct file *folder = file_at(directory, true);
    if (!folder || folder->kind != FILE_FOLDER || folder->unreadable)
        return 0;
    for (int i = 0; i < FILES_NAMES; i++) {
        const struct file *file = is_service(i) ? folder->entries[i] : NULL;
        if (file && file->kind == FILE_LINK) {
            snprintf(path, sizeof(path), "%s/%s", directory, file_names[i]);
            follow(follower, path);
            file = file_at(path, true);
        }
        found |= file && file->kind == FILE_PLAIN && !file->unreadable ? 1u << i : 0;
    }
    return found;
}

static inline uint32_t directories_read(struct follower *follower, uint8_t directories)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < COUNT(word_directories); i++) {
        if (!(directories & 1u << i))
            continue;
        follow(follower, word_directories[i]);
        if (follower && directories & CATALOG_CHANGES && files[0].entries[0])
            file_toggle(files[0].entries[0], 4);
        found |= directory_read(follower, word_directories[i]);
    }
    return found;
}

static inline size_t list_name(uint8_t *list, size_t at, struct span name)
{
    at = (at + 3) & ~(size_t)3;
    memcpy(list + at, &name.n, sizeof(name.n));
    memcpy(list + at + sizeof(name.n), name.s, name.n);
    return at + sizeof(name.n) + name.n + 1;
}

/* Hands over services; cut: bytes that are missing at the end. Without memory it is lost. */
static inline void catalog_set(struct follower *follower, uint32_t services, uint32_t cut)
{
    uint8_t list[256] = {0};
    size_t size = list_name(list, sizeof(uint32_t), SPAN("org.freedesktop.DBus"));
    for (int i = 0; i < FILES_NAMES; i++) {
        if (services & 1u << i)
            size = list_name(list, size, service_of(i));
    }
    uint32_t n = (uint32_t)(size - sizeof(n)) - cut;
    memcpy(list, &n, sizeof(n));
    world.running = true;
    int error = relay_set_catalog(control.relay, follower, list, size - cut);
    if (error < 0)
        follower_free(follower);
    world.running = false;
    ASSERT(error == 0 || (error == -EINVAL && cut) || (error == -ENOMEM && world.allocations_fail));
}

static inline void catalog_read(void)
{
    world.running = true;
    struct follower *follower = follower_new();
    world.running = false;
    catalog_set(follower, directories_read(follower, control.directories), 0);
}

/* Other directories: until they have been read, nothing is current. */
static inline void catalog_configure(uint8_t directories)
{
    bool failing = world.allocations_fail;
    world.allocations_fail = false;
    catalog_set(NULL, 0, 0);
    world.allocations_fail = failing;
    CONTROL(relay_commit(control.relay));
    const struct bus *bus = &control.relay->bus;
    for (int i = 0; i < CATALOG_TURNS && (!bus->catalog || bus->catalog->follower); i++)
        control_turn(); /* one applies as many commands as time allows */
    ASSERT(bus->catalog && !bus->catalog->follower);
    control.directories = directories;
    for (uint32_t cut = 1; directories & CATALOG_CUT && cut < 28; cut += cut < 3 ? 1 : 23)
        catalog_set(NULL, 0, cut);
    if (directories)
        catalog_read();
}

static inline void catalog_check(void)
{
    const struct catalog *catalog = control.relay->bus.catalog;
    if (!catalog_is_current(catalog))
        return;
    uint32_t found = directories_read(NULL, control.directories);
    for (int i = 0; i < FILES_NAMES; i++) {
        ASSERT(!is_service(i) || catalog_has(catalog, service_of(i)) == (found >> i & 1));
    }
}

#endif
