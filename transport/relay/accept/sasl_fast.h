/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_SASL_FAST_H
#define OMNIBUS_SASL_FAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The usual SASL handshake (D-Bus specification, "Authentication Protocol"), without I/O: a NUL byte,
 * EXTERNAL with the client's own uid or none, perhaps NEGOTIATE_UNIX_FD, BEGIN. GDBus asks for the mechanisms
 * before, by AUTH alone, which is answered here if EXTERNAL is the only one. The answers are those of
 * omnibus.auth. Any other handshake is left to omnibus.auth, which then gets all of it from the beginning.
 */

#define SASL_FAST_LINE 64u   /* a longer line is none of these */
#define SASL_FAST_ANSWER 96u /* all answers of one handshake are shorter */

enum sasl_fast_result {
    SASL_FAST_GOES_ON,
    SASL_FAST_OVER, /* BEGIN was received; the message stream begins at sasl.at */
    SASL_FAST_UNUSUAL,
};

enum sasl_fast_state {
    SASL_FAST_WAITING_FOR_NUL,
    SASL_FAST_WAITING_FOR_AUTH,
    SASL_FAST_WAITING_FOR_DATA,
    SASL_FAST_WAITING_FOR_BEGIN,
    SASL_FAST_STATES,
};

struct sasl_fast {
    enum sasl_fast_state state;
    size_t at; /* the bytes before are processed */
    bool fd_passing;
    bool only_external; /* there is no other mechanism */
    bool asked;         /* for the mechanisms, which is answered once here */
    char identity[21];  /* the uid in decimal, hex-encoded */
};

struct sasl_fast_answer {
    size_t size;
    char text[SASL_FAST_ANSWER];
};

void sasl_fast_begin(struct sasl_fast *sasl, uint32_t uid, bool only_external);
/* text is everything received from the beginning; guid is the server's. */
enum sasl_fast_result sasl_fast_hear(struct sasl_fast *sasl, const char *guid, const uint8_t *text,
                                     size_t size, struct sasl_fast_answer *answer);

#endif
