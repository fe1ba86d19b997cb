/* SPDX-License-Identifier: MIT */

/*
 * Runs handshakes for tests/auth. Each on standard input is the uid, whether EXTERNAL is the only mechanism,
 * the number of pieces, and for each its size and its bytes; numbers have 32 bits in native byte order. The
 * output is a line for each: the result, the offset of the message stream, whether descriptors may come, and
 * the replies in hex, without those to unusual commands.
 */
#include "../../transport/relay/accept/sasl_fast.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUID "0123456789abcdef0123456789abcdef"

static uint32_t take_number(void)
{
    uint32_t number = 0;
    if (fread(&number, sizeof(number), 1, stdin) != 1)
        exit(EXIT_FAILURE);
    return number;
}

static void take_case(uint32_t uid)
{
    struct sasl_fast sasl;
    enum sasl_fast_result result = SASL_FAST_GOES_ON;
    bool only_external = take_number() != 0;
    uint32_t pieces = take_number();
    uint8_t *text = NULL;
    size_t size = 0;
    char answers[1024] = "";
    sasl_fast_begin(&sasl, uid, only_external);
    for (uint32_t i = 0; i < pieces; i++) {
        struct sasl_fast_answer answer;
        uint32_t more = take_number();
        text = realloc(text, size + more + 1);
        if (!text || fread(text + size, 1, more, stdin) != more)
            exit(EXIT_FAILURE);
        size += more;
        if (result != SASL_FAST_GOES_ON)
            continue;
        result = sasl_fast_hear(&sasl, GUID, text, size, &answer);
        for (size_t k = 0; k < answer.size && result != SASL_FAST_UNUSUAL; k++)
            snprintf(answers + strlen(answers), 3, "%02x", (unsigned char)answer.text[k]);
    }
    printf("%d %zu %d %s\n", result, sasl.at, sasl.fd_passing, answers);
    fflush(stdout);
    free(text);
}

int main(void)
{
    uint32_t uid;
    while (fread(&uid, sizeof(uid), 1, stdin) == 1)
        take_case(uid);
    return EXIT_SUCCESS;
}
