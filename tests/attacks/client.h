/* SPDX-License-Identifier: MIT */
#ifndef ATTACK_CLIENT_H
#define ATTACK_CLIENT_H

#include "connection.h"

#define ATTACK_PATH "/attack"
#define ATTACK_INTERFACE "org.example.Attack"
#define BUS_PATH "/org/freedesktop/DBus"

/* Messages for attacks. */

/* Appends a message with the next serial; the header's body_size is filled in. Returns the serial. */
uint32_t put_message(struct buffer *out, const struct header *header, const struct buffer *body);
uint32_t put_driver_call(struct buffer *out, const char *member, const char *signature,
                         const struct buffer *body);
void put_signal(struct buffer *out, const char *destination,
                uint32_t size);                           /* a body of `size` bytes, "ay" */
void put_add_match(struct buffer *out, const char *rule); /* AddMatch with NO_REPLY_EXPECTED */
void put_repeated(struct buffer *out, size_t least); /* repeats the content up to at least `least` bytes */
void put_u32_at(struct buffer *out, size_t at, uint32_t value);
void body_ay(struct buffer *body, uint32_t size);

void attack_join(struct connection *c); /* connects and says Hello, with as many retries as it takes */
/* Writes all of it, and discards the input meanwhile; reconnects if the bus has closed the connection. */
void attack_pour(struct connection *c, const struct buffer *out);
void attack_pour_fds(struct connection *c, const struct buffer *out, int n); /* with n descriptors */
bool attack_try_pour(struct connection *c,
                     const struct buffer *out); /* false: the bus closed the connection */
void attack_flood(struct connection *c, const struct buffer *out,
                  int messages);        /* without end; counts messages */
void attack_sync(struct connection *c); /* returns once the bus has handled all output; discards the input */

#endif
