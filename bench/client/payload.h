/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_PAYLOAD_H
#define BUSBENCH_PAYLOAD_H

#include "wire.h"

#define QUIT UINT64_MAX /* the number of the last message */
#define PAYLOAD_LEAST 16u

/* Bodies of signature "ay": a number, then a pattern derived from it, so that any changed byte is detected.
 */
void payload_init(size_t size);
void payload_put(struct buffer *buffer, size_t size, uint64_t number);
uint64_t payload_number(const struct message *m);
void payload_check(const struct message *m, size_t size, uint64_t number);

#endif
