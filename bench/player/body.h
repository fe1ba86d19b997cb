/* SPDX-License-Identifier: MIT */
#ifndef PLAYER_BODY_H
#define PLAYER_BODY_H

#include "../client/wire.h"
#include "plan.h"

#define MOST_TEXT 2048

/* Writes the message of an op; it is valid until the next. */
const struct buffer *body_message(const struct op *op, const char *sender);
/* Replaces the {N} of a plan's text by unique names. Dies where a connection has none yet. */
void body_expand(char out[MOST_TEXT], const char *text, size_t size);

#endif
