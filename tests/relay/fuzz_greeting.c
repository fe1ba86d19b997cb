/* SPDX-License-Identifier: MIT */

/*
 * A handshake; the first byte is the size of its pieces. With any size it ends the same way, and the replies
 * are the same as far as they were sent.
 */
#include "../../transport/relay/accept/greeting.h"
#include "../../transport/relay/base/span.h"

#include <stdlib.h>

#define GUID "0123456789abcdef0123456789abcdef"
#define ASSERT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

struct outcome {
    enum greeting_result result;
    struct greeting greeting;
    char answers[GREETING_ANSWER + 1];
};

static void feed(struct outcome *o, const uint8_t *data, size_t all, size_t piece)
{
    *o = (struct outcome){.result = GREETING_GOES_ON};
    greeting_begin(&o->greeting, 1000);
    for (size_t size = 0; size < all && o->result == GREETING_GOES_ON;) {
        struct greeting_answer answer;
        size = all - size > piece ? size + piece : all;
        o->result = greeting_hear(&o->greeting, GUID, data, size, &answer);
        ASSERT(o->greeting.at <= size && strlen(o->answers) + answer.size <= GREETING_ANSWER);
        if (o->result != GREETING_UNUSUAL)
            strncat(o->answers, answer.text, answer.size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome whole, pieces;
    if (size < 2)
        return 0;
    feed(&whole, data + 1, size - 1, size);
    feed(&pieces, data + 1, size - 1, 1 + data[0] % 16);
    ASSERT(whole.result == pieces.result);
    ASSERT(strncmp(whole.answers, pieces.answers, strlen(whole.answers)) == 0);
    if (whole.result == GREETING_UNUSUAL)
        return 0;
    ASSERT(strcmp(whole.answers, pieces.answers) == 0 && whole.greeting.at == pieces.greeting.at);
    ASSERT(whole.greeting.fd_passing == pieces.greeting.fd_passing);
    return 0;
}
