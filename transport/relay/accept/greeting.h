/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_GREETING_H
#define OMNIBUS_GREETING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The authentication as nearly everybody does it (spec, "Authentication Protocol"), sans-IO: a nul byte,
 * EXTERNAL with the own uid or none, perhaps NEGOTIATE_UNIX_FD, BEGIN. It is answered as omnibus.auth would.
 * Whatever else is said is for omnibus.auth itself, which then hears all of it from the beginning.
 */

#define GREETING_LINE 64u   /* a line that is longer is none of these */
#define GREETING_ANSWER 64u /* all that can be said in one conversation is shorter */

enum greeting_result {
    GREETING_GOES_ON,
    GREETING_OVER, /* BEGIN was said; the message stream begins at greeting.at */
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
    size_t at; /* what comes before is done with */
    bool fd_passing;
    char identity[21]; /* the uid in decimal, in hex */
};

struct greeting_answer {
    size_t size;
    char text[GREETING_ANSWER];
};

void greeting_begin(struct greeting *greeting, uint32_t uid);
/* The text is all that came since the beginning; guid is the server's. */
enum greeting_result greeting_hear(struct greeting *greeting, const char *guid, const uint8_t *text,
                                   size_t size, struct greeting_answer *answer);

#endif
