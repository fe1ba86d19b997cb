/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_CRC32_H
#define OMNIBUS_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* The CRC-32 of zlib and of Ethernet. The table is 8 KiB, made by crc32_begin in some microseconds. */
struct crc32 {
    uint32_t table[8][256];
};

void crc32_begin(struct crc32 *crc);
/* Continues a sum; that of no bytes is 0. */
uint32_t crc32_add(const struct crc32 *crc, uint32_t sum, const void *bytes, size_t size);

#endif
