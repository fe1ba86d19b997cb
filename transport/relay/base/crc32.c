/* SPDX-License-Identifier: MIT */
#include "base/crc32.h"

#define CRC32_POLYNOMIAL 0xedb88320u /* reflected */

/*
 * table[0] is the usual one: the sum of each byte. table[k] is that of the byte followed by k zeros, so that
 * eight bytes take eight look-ups that do not depend on one another, about a nanosecond together.
 */
void crc32_begin(struct crc32 *crc)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t sum = byte;
        for (int bit = 0; bit < 8; bit++)
            sum = (sum >> 1) ^ (sum & 1 ? CRC32_POLYNOMIAL : 0);
        crc->table[0][byte] = sum;
    }
    for (uint32_t byte = 0; byte < 256; byte++) {
        for (int k = 1; k < 8; k++) {
            uint32_t sum = crc->table[k - 1][byte];
            crc->table[k][byte] = (sum >> 8) ^ crc->table[0][sum & 0xff];
        }
    }
}

static uint32_t crc32_word(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

uint32_t crc32_add(const struct crc32 *crc, uint32_t sum, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    const uint32_t(*table)[256] = crc->table;
    sum = ~sum;
    for (; size >= 8; at += 8, size -= 8) {
        uint32_t low = crc32_word(at) ^ sum, high = crc32_word(at + 4);
        sum = table[7][low & 0xff] ^ table[6][low >> 8 & 0xff] ^ table[5][low >> 16 & 0xff] ^
              table[4][low >> 24] ^ table[3][high & 0xff] ^ table[2][high >> 8 & 0xff] ^
              table[1][high >> 16 & 0xff] ^ table[0][high >> 24];
    }
    for (; size > 0; at++, size--)
        sum = (sum >> 8) ^ table[0][(sum ^ *at) & 0xff];
    return ~sum;
}
