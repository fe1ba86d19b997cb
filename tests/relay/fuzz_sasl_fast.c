/* SPDX-License-Identifier: MIT */

/*
 * A handshake; the first byte is the size of its pieces. With any size it ends the same way, and the replies
 * are the same as far as they were sent.
 */
#include "../../transport/relay/accept/sasl_fast.h"
#include "../../transport/relay/base/span.h"

#include <stdlib.h>

#define GUID "0123456789abcdef0123456789abcdef"
#define ASSERT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

struct outcome {
    enum sasl_fast_result result;
    struct sasl_fast sasl;
    char answers[SASL_FAST_ANSWER + 1];
};

static void feed(struct outcome *o, const uint8_t *data, size_t all, size_t piece, bool only_external)
{
    *o = (struct outcome){.result = SASL_FAST_GOES_ON};
    sasl_fast_begin(&o->sasl, 1000, only_external);
    for (size_t size = 0; size < all && o->result == SASL_FAST_GOES_ON;) {
        struct sasl_fast_answer answer;
        size = all - size > piece ? size + piece : all;
        o->result = sasl_fast_hear(&o->sasl, GUID, data, size, &answer);
        ASSERT(o->sasl.at <= size && strlen(o->answers) + answer.size <= SASL_FAST_ANSWER);
        if (o->result != SASL_FAST_UNUSUAL)
            strncat(o->answers, answer.text, answer.size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome whole, pieces;
    if (size < 2)
        return 0;
    bool only_external = data[0] & 16;
    feed(&whole, data + 1, size - 1, size, only_external);
    feed(&pieces, data + 1, size - 1, 1 + data[0] % 16, only_external);
    ASSERT(whole.result == pieces.result);
    ASSERT(strncmp(whole.answers, pieces.answers, strlen(whole.answers)) == 0);
    if (whole.result == SASL_FAST_UNUSUAL)
        return 0;
    ASSERT(strcmp(whole.answers, pieces.answers) == 0 && whole.sasl.at == pieces.sasl.at);
    ASSERT(whole.sasl.fd_passing == pieces.sasl.fd_passing);
    return 0;
}
