/* SPDX-License-Identifier: MIT */
#include "check.h"

#include "../../transport/relay/accept/sasl_fast.h"

#define GUID "0123456789abcdef0123456789abcdef"
#define OK "OK " GUID "\r\n"
#define UID "31303030" /* 1000 */

/* A nul byte comes before the text. */
struct conversation {
    const char *text, *answers;
    enum sasl_fast_result result;
    bool fd_passing;
};

static const struct conversation usual[] = {
    {"", "", SASL_FAST_GOES_ON, false},
    {"AUTH EXTERNAL " UID "\r\n", OK, SASL_FAST_GOES_ON, false},
    {"AUTH EXTERNAL\r\n", "DATA\r\n", SASL_FAST_GOES_ON, false},
    {"AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n", "DATA\r\n" OK, SASL_FAST_OVER, false},
    {"AUTH EXTERNAL\r\nDATA " UID "\r\nBEGIN\r\n", "DATA\r\n" OK, SASL_FAST_OVER, false},
    {"AUTH EXTERNAL " UID "\r\nNEGOTIATE_UNIX_FD\r\n", OK "AGREE_UNIX_FD\r\n", SASL_FAST_GOES_ON, true},
    {"AUTH EXTERNAL " UID "\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n", OK "AGREE_UNIX_FD\r\n", SASL_FAST_OVER, true},
    {"AUTH EXTERNAL " UID "\r\nBEGIN\r\nl\1\r\n", OK, SASL_FAST_OVER, false},
};

/* Where EXTERNAL is the only mechanism; to be handed up elsewhere. */
static const struct conversation asking[] = {
    {"AUTH\r\n", "REJECTED EXTERNAL\r\n", SASL_FAST_GOES_ON, false},
    {"AUTH\r\nAUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n",
     "REJECTED EXTERNAL\r\nDATA\r\n" OK "AGREE_UNIX_FD\r\n", SASL_FAST_OVER, true},
};

static const char *const unusual_also_there[] = {
    "AUTH\r\nAUTH\r\n",
    "AUTH \r\n",
    "AUTH\r\nBEGIN\r\n",
    "AUTH EXTERNAL\r\nAUTH\r\n",
    "AUTH EXTERNAL " UID "\r\nAUTH\r\n",
};

static const char *const unusual[] = {
    "\r\n",
    "BEGIN\r\n",
    "auth EXTERNAL\r\n",
    "AUTH EXTERNAL \r\n",
    "AUTH  EXTERNAL " UID "\r\n",
    "AUTH EXTERNAL\t" UID "\r\n",
    "AUTH EXTERNAL " UID " \r\n",
    "AUTH EXTERNAL 3130303\r\n",
    "AUTH EXTERNAL 3131\r\n",
    "AUTH EXTERNAL 30" UID "\r\n",
    "AUTH ANONYMOUS\r\n",
    "AUTH DBUS_COOKIE_SHA1 " UID "\r\n",
    "AUTH EXTERNAL " UID "\n\r\n",
    "AUTH EXTERNAL\r\nDATA 3131\r\n",
    "AUTH EXTERNAL\r\nDATA \r\n",
    "AUTH EXTERNAL\r\nBEGIN\r\n",
    "AUTH EXTERNAL\r\nCANCEL\r\n",
    "AUTH EXTERNAL " UID "\r\nBEGIN \r\n",
    "AUTH EXTERNAL " UID "\r\nDATA\r\n",
    "AUTH EXTERNAL " UID "\r\nERROR\r\n",
    "AUTH EXTERNAL " UID "\r\nNEGOTIATE_UNIX_FD\r\nNEGOTIATE_UNIX_FD\r\n",
    "AUTH EXTERNAL " UID "\r\nNEGOTIATE_UNIX_FD x\r\n",
    "0123456789012345678901234567890123456789012345678901234567890123456789",
};

/* Feeds a text in pieces of this size; collects the replies in answers. */
static enum sasl_fast_result feed(struct sasl_fast *sasl, const char *text, size_t piece, bool only_external,
                                  char *answers)
{
    size_t all = strlen(text) + 1;
    uint8_t *heard = malloc(all); /* of its exact size, so that reading beyond it is detected */
    enum sasl_fast_result result = SASL_FAST_GOES_ON;
    sasl_fast_begin(sasl, 1000, only_external);
    answers[0] = '\0';
    memcpy(heard + 1, text, all - 1);
    heard[0] = 0;
    for (size_t size = 0; size < all && result == SASL_FAST_GOES_ON;) {
        struct sasl_fast_answer answer;
        size = size + piece < all ? size + piece : all;
        result = sasl_fast_hear(sasl, GUID, heard, size, &answer);
        if (result != SASL_FAST_UNUSUAL)
            strncat(answers, answer.text, answer.size);
    }
    free(heard);
    return result;
}

static void conversation_is_answered(const struct conversation *c, bool only_external)
{
    check_case = c->text;
    for (size_t piece = 1; piece <= strlen(c->text) + 1; piece++) {
        struct sasl_fast sasl;
        char answers[256];
        CHECK_EQUAL(feed(&sasl, c->text, piece, only_external, answers), c->result);
        CHECK_SPAN(span_of(answers), c->answers);
        CHECK_EQUAL(sasl.fd_passing, c->fd_passing);
    }
    check_case = NULL;
}

static void text_is_handed_up(const char *text, bool only_external)
{
    check_case = text;
    for (size_t piece = 1; piece <= strlen(text) + 1; piece++) {
        struct sasl_fast sasl;
        char answers[256];
        CHECK_EQUAL(feed(&sasl, text, piece, only_external, answers), SASL_FAST_UNUSUAL);
    }
    check_case = NULL;
}

static void handshake_may_come_in_pieces_of_every_length(void)
{
    for (size_t i = 0; i < CHECK_COUNT(usual); i++) {
        conversation_is_answered(&usual[i], false);
        conversation_is_answered(&usual[i], true);
    }
}

static void question_for_mechanisms_is_answered_where_there_is_only_one(void)
{
    for (size_t i = 0; i < CHECK_COUNT(asking); i++) {
        conversation_is_answered(&asking[i], true);
        text_is_handed_up(asking[i].text, false);
    }
}

static void unusual_commands_go_to_the_control_plane(void)
{
    for (size_t i = 0; i < CHECK_COUNT(unusual); i++) {
        text_is_handed_up(unusual[i], false);
        text_is_handed_up(unusual[i], true);
    }
    for (size_t i = 0; i < CHECK_COUNT(unusual_also_there); i++)
        text_is_handed_up(unusual_also_there[i], true);
}

static void first_byte_must_be_nul(void)
{
    struct sasl_fast sasl;
    struct sasl_fast_answer answer;
    sasl_fast_begin(&sasl, 1000, false);
    CHECK_EQUAL(sasl_fast_hear(&sasl, GUID, (const uint8_t *)"A", 1, &answer), SASL_FAST_UNUSUAL);
}

static void stream_begins_after_begin(void)
{
    struct sasl_fast sasl;
    char answers[256];
    const char *text = "AUTH EXTERNAL " UID "\r\nBEGIN\r\nl\1";
    CHECK_EQUAL(feed(&sasl, text, strlen(text) + 1, false, answers), SASL_FAST_OVER);
    CHECK_EQUAL(sasl.at, strlen(text) + 1 - 2);
}

static void every_uid_has_an_identity(void)
{
    static const struct {
        uint32_t uid;
        const char *identity;
    } cases[] = {{0, "30"}, {1000, UID}, {4294967294u, "34323934393637323934"}};
    for (size_t i = 0; i < CHECK_COUNT(cases); i++) {
        struct sasl_fast sasl;
        sasl_fast_begin(&sasl, cases[i].uid, false);
        CHECK_SPAN(span_of(sasl.identity), cases[i].identity);
    }
}

static const struct check_test tests[] = {
    TEST(handshake_may_come_in_pieces_of_every_length),
    TEST(question_for_mechanisms_is_answered_where_there_is_only_one),
    TEST(unusual_commands_go_to_the_control_plane),
    TEST(first_byte_must_be_nul),
    TEST(stream_begins_after_begin),
    TEST(every_uid_has_an_identity),
};
CHECK_MAIN(tests)
