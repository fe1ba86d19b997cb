/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_GREETING_H
#define OMNIBUS_GREETING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The usual SASL handshake (D-Bus specification, "Authentication Protocol"), without I/O: a NUL byte,
 * EXTERNAL with the client's own uid or none, perhaps NEGOTIATE_UNIX_FD, BEGIN. The answers are those of
 * omnibus.auth. Any other handshake is left to omnibus.auth, which then gets all of it from the beginning.
 */

#define GREETING_LINE 64u   /* a longer line is none of these */
#define GREETING_ANSWER 64u /* all answers of one handshake are shorter */

enum greeting_result {
    GREETING_GOES_ON,
    GREETING_OVER, /* BEGIN was received; the message stream begins at greeting.at */
    GREETING_UNUSUAL,
};

enum greeting_state {
    GREETING_WAITING_FOR_NUL,
    GREETING_WAITING_FOR_AUTH,
    GREETING_WAITING_FOR_DATA,
    GREETING_WAITING_FOR_BEGIN,
    GREETING_STATES,
};

struct greeting {
    enum greeting_state state;
    size_t at; /* the bytes before are processed */
    bool fd_passing;
    char identity[21]; /* the uid in decimal, in hex */
};

struct greeting_answer {
    size_t size;
    char text[GREETING_ANSWER];
};

void greeting_begin(struct greeting *greeting, uint32_t uid);
/* text is everything received from the beginning; guid is the server's. */
enum greeting_result greeting_hear(struct greeting *greeting, const char *guid, const uint8_t *text,
                                   size_t size, struct greeting_answer *answer);

#endif
