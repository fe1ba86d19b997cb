/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* dl_iterate_phdr, uselocale */
#endif
#include "api/standby.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <locale.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * The memory of a standby. As a fork of the bus it begins with all memory of the bus, and would keep each
 * page that the bus changes afterwards. What it never touches is unmapped: the interpreter's heap and data.
 * What remains are the shared heap, read-only mappings, which are shared with every process, the data of this
 * library, of the C library and of the dynamic linker, and the table by which the program calls functions: in
 * a program with a fixed address, as Debian's Python is, it has the address of functions of the C library.
 */

#define MAPS_SIZE ((size_t)1 << 20)
#define KEPT_FILES 3

/* A line of /proc/self/maps. */
struct mapping {
    uintptr_t begin, end;
    char how[5], device[16];
    unsigned long long inode;
};

/* The whole file. NULL: there is none. */
static char *read_maps(void)
{
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    char *text = mmap(NULL, MAPS_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fd < 0 || text == MAP_FAILED)
        return NULL;
    size_t used = 0;
    for (ssize_t n = 1; n > 0 && used<MAPS_SIZE - 1; used += n> 0 ? (size_t)n : 0)
        n = read(fd, text + used, MAPS_SIZE - 1 - used);
    close(fd);
    return text;
}

/* Reads a line, and goes on to the next. False: the text is over. */
static bool next_mapping(char **text, struct mapping *mapping)
{
    unsigned long begin, end;
    if (sscanf(*text, "%lx-%lx %4s %*s %15s %llu", &begin, &end, mapping->how, mapping->device,
               &mapping->inode) != 5)
        return false;
    mapping->begin = begin;
    mapping->end = end;
    char *line = strchr(*text, '\n');
    *text = line ? line + 1 : *text + strlen(*text);
    return true;
}

static bool contains(const struct mapping *mapping, uintptr_t address)
{
    return mapping->begin <= address && address < mapping->end;
}

static bool same_file(const struct mapping *a, const struct mapping *b)
{
    return a->inode == b->inode && a->inode > 0 && strcmp(a->device, b->device) == 0;
}

/* The files that this code, the C library and the dynamic linker are in. */
static int find_files(char *text, struct mapping files[KEPT_FILES])
{
    const uintptr_t within[KEPT_FILES] = {(uintptr_t)standby_trim, (uintptr_t)poll,
                                          (uintptr_t)getauxval(AT_BASE)};
    struct mapping mapping;
    int n = 0;
    while (next_mapping(&text, &mapping)) {
        for (int i = 0; i < KEPT_FILES && n < KEPT_FILES; i++) {
            if (contains(&mapping, within[i]))
                files[n++] = mapping;
        }
    }
    return n;
}

/* The addresses of functions that the program calls. */
struct range {
    uintptr_t begin, end;
};

static int find_calls(struct dl_phdr_info *info, size_t size, void *context)
{
    struct range *calls = context;
    uintptr_t table = 0, n = 0;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_DYNAMIC)
            continue;
        const ElfW(Dyn) *at = (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
        for (; at->d_tag != DT_NULL; at++) {
            table = at->d_tag == DT_PLTGOT ? at->d_un.d_ptr : table;
            /* of either size, so perhaps too many */
            n = at->d_tag == DT_PLTRELSZ ? at->d_un.d_val / sizeof(ElfW(Rel)) : n;
        }
    }
    *calls = (struct range){table, table + (3 + n) * sizeof(uintptr_t)};
    return 1; /* the first one is the program */
}

static void unmap(uintptr_t begin, uintptr_t end)
{
    if (begin < end)
        munmap((void *)begin, end - begin);
}

/* Unmaps a mapping but for the pages of a range. */
static void unmap_around(const struct mapping *mapping, const struct range *kept)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = kept->begin & ~(page - 1), end = (kept->end + page - 1) & ~(page - 1);
    bool inside = begin < mapping->end && mapping->begin < end;
    unmap(mapping->begin, inside ? begin : mapping->end);
    unmap(inside ? end : mapping->end, mapping->end);
}

void standby_trim(const void *stack)
{
    struct range calls = {0, 0};
    struct mapping files[KEPT_FILES], mapping;
    char *text = read_maps(), *at = text;
    /* the interpreter's locale is in memory that is going to be unmapped */
    uselocale(newlocale(LC_ALL_MASK, "C", (locale_t)0));
    dl_iterate_phdr(find_calls, &calls);
    int n = text ? find_files(text, files) : 0;
    uintptr_t kept_to = 0; /* behind the data of a file follows what is zero at first */
    while (n > 0 && next_mapping(&at, &mapping)) {
        bool of_file = false;
        for (int i = 0; i < n; i++)
            of_file |= same_file(&mapping, &files[i]);
        bool keep = of_file || mapping.how[1] != 'w' || mapping.how[3] != 'p' ||
                    contains(&mapping, (uintptr_t)stack) ||
                    contains(&mapping, (uintptr_t)&errno) || /* what is the thread's own */
                    contains(&mapping, (uintptr_t)text) ||
                    (mapping.inode == 0 && mapping.begin == kept_to && kept_to != 0);
        if (of_file)
            kept_to = mapping.end;
        if (!keep)
            unmap_around(&mapping, &calls);
    }
    if (text)
        munmap(text, MAPS_SIZE);
}
