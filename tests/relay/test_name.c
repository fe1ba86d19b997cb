/* SPDX-License-Identifier: MIT */

/* D-Bus specification, "Valid Names", "Valid Object Paths" and the characters of strings */

#include "../../transport/relay/wire/message.h"
#include "check.h"
#include "reference.h"

enum {
    UNIQUE = 1,
    WELL_KNOWN = 2,
    NAMESPACE = 4,
    INTERFACE = 8,
    MEMBER = 16,
    PATH = 32,
};

static unsigned kinds_of(struct span text)
{
    CHECK_EQUAL(name_is_error(text), name_is_interface(text));
    CHECK_EQUAL(name_is_bus_name(text), name_is_unique(text) || name_is_well_known(text));
    return (name_is_unique(text) ? UNIQUE : 0) | (name_is_well_known(text) ? WELL_KNOWN : 0) |
           (name_is_namespace(text) ? NAMESPACE : 0) | (name_is_interface(text) ? INTERFACE : 0) |
           (name_is_member(text) ? MEMBER : 0) | (name_is_path(text) ? PATH : 0);
}

/* Compares with libdbus, which has no function for namespaces. */
static void check_reference(const char *text)
{
    const struct span span = span_of(text);
    if (!reference_load() || !reference.validate_utf8(text, NULL))
        return;
    CHECK_EQUAL(name_is_bus_name(span), reference.validate_bus_name(text, NULL));
    CHECK_EQUAL(name_is_interface(span), reference.validate_interface(text, NULL));
    CHECK_EQUAL(name_is_error(span), reference.validate_error_name(text, NULL));
    CHECK_EQUAL(name_is_member(span), reference.validate_member(text, NULL));
    CHECK_EQUAL(name_is_path(span), reference.validate_path(text, NULL));
}

static void names(void)
{
    const unsigned dotted = WELL_KNOWN | NAMESPACE | INTERFACE;
    const struct {
        const char *text;
        unsigned kinds;
    } rows[] = {
        {"", 0},
        {"a", NAMESPACE | MEMBER},
        {"a.b", dotted},
        {"org.freedesktop.DBus", dotted},
        {"org.freedesktop.DBus.Properties", dotted},
        {"_._9", dotted},
        {"a.b-c", WELL_KNOWN | NAMESPACE},
        {"-.-", WELL_KNOWN | NAMESPACE},
        {"-", NAMESPACE},
        /* "Each element ... must not begin with a digit" */
        {"a.1b", 0},
        {"1a.b", 0},
        {"9", 0},
        /* "All elements must contain at least one character" */
        {".a.b", 0},
        {"a..b", 0},
        {"a.b.", 0},
        {".", 0},
        /* "Only elements that are part of a unique connection name may begin with a digit" */
        {":1.42", UNIQUE | NAMESPACE},
        {":a.-", UNIQUE | NAMESPACE},
        {":1", UNIQUE | NAMESPACE},
        {":", UNIQUE | NAMESPACE},
        {":.1", UNIQUE | NAMESPACE},
        {":1.", 0},
        {":1..1", 0},
        {":..1", 0},
        {":.", 0},
        {"::1", 0},
        {":1:2", 0},
        /* "must begin with an ASCII '/'", "No element may be the empty string" */
        {"/", PATH},
        {"/a", PATH},
        {"/org/freedesktop/DBus", PATH},
        {"/9/_", PATH},
        {"//", 0},
        {"/a/", 0},
        {"/a//b", 0},
        {"/a-b", 0},
        {"/a.b", 0},
        {"a/b", 0},
        {"Method_1", NAMESPACE | MEMBER},
        {"Method 1", 0},
        {"M\xc3\xa9thode", 0},
    };
    for (size_t i = 0; i < CHECK_COUNT(rows); i++) {
        check_case = rows[i].text;
        CHECK_EQUAL(kinds_of(span_of(rows[i].text)), rows[i].kinds);
        check_reference(rows[i].text);
    }
}

static void empty_text_is_no_name(void)
{
    CHECK_EQUAL(kinds_of((struct span){NULL, 0}), 0);
    CHECK(text_is_utf8((struct span){NULL, 0}));
    CHECK(signature_is_valid((struct span){NULL, 0}));
}

/* "There is a maximum name length of 255"; paths have none. */
static void lengths(void)
{
    static char text[1000];
    for (uint32_t n = 254; n <= 256; n++) {
        memset(text, 'a', sizeof(text));
        const struct span span = {text, n};
        CHECK_EQUAL(name_is_member(span), n <= 255);
        text[100] = '.';
        CHECK_EQUAL(name_is_interface(span), n <= 255);
        CHECK_EQUAL(name_is_well_known(span), n <= 255);
        CHECK_EQUAL(name_is_namespace(span), n <= 255);
        text[0] = ':';
        CHECK_EQUAL(name_is_unique(span), n <= 255);
        CHECK_EQUAL(name_is_namespace(span), n <= 255);
    }
    memset(text, 'a', sizeof(text));
    text[0] = '/';
    CHECK(name_is_path((struct span){text, sizeof(text)}));
}

static bool one_of(char c, const char *set)
{
    return c && strchr(set, c);
}

/* The specification's sentences, read one character after the other */
static bool spelled_out(const char *s, uint32_t n, char separator, const char *others, bool digits_first,
                        uint32_t *separators)
{
    bool first = true;
    *separators = 0;
    for (uint32_t i = 0; i < n; i++) {
        const bool letter =
            (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || one_of(s[i], others);
        const bool digit = s[i] >= '0' && s[i] <= '9';
        if (s[i] == separator && !first) {
            ++*separators;
            first = true;
        } else if (letter || (digit && (digits_first || !first))) {
            first = false;
        } else {
            return false;
        }
    }
    return !first;
}

/* Every kind of character at every position of texts of every length, including whole blocks. */
static void every_character_at_every_place(void)
{
    static const char characters[] = "\0\1 ,-./09:;@AZ[^_`az{~\177\200\256\257\301\332\337\377";
    for (uint32_t n = 1; n <= 50; n++) {
        for (uint32_t at = 0; at < n; at++) {
            for (size_t k = 0; k < sizeof(characters) - 1; k++) {
                /* in its own block, so that reading outside of it is detected */
                char *text = malloc(n);
                REQUIRE(text);
                memset(text, 'x', n);
                text[n / 2] = '.';
                text[at] = characters[k];
                const struct span span = {text, n};
                uint32_t dots, none;
                const bool dotted = spelled_out(text, n, '.', "_", false, &dots);
                CHECK_EQUAL(name_is_interface(span), dotted && dots);
                CHECK_EQUAL(name_is_member(span), dotted && !dots);
                CHECK_EQUAL(name_is_well_known(span), spelled_out(text, n, '.', "_-", false, &dots) && dots);
                text[0] = '/';
                CHECK_EQUAL(name_is_path(span),
                            n == 1 || spelled_out(text + 1, n - 1, '/', "_", true, &none));
                text[0] = ':';
                CHECK_EQUAL(name_is_unique(span),
                            n == 1 || spelled_out(text + 1, n - 1, '.', "_-", true, &none) ||
                                (text[1] == '.' && spelled_out(text + 2, n - 2, '.', "_-", true, &none)));
                free(text);
            }
        }
    }
}

static uint32_t encode(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    const uint32_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (uint32_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((0xf00 >> n) | c);
    return n;
}

/* "The UTF-8 text must be validated strictly", noncharacters included since Corrigendum #9 */
static void every_character_is_utf8(void)
{
    for (uint32_t c = 0; c < 0x120000; c++) {
        char text[5] = "";
        const uint32_t n = encode(c, text);
        const bool valid = c && c < 0x110000 && (c < 0xd800 || c > 0xdfff);
        if (text_is_utf8((struct span){text, n}) != valid ||
            text_is_utf8((struct span){text, n - 1}) != (n == 1)) {
            CHECK_EQUAL(c, -1);
            return;
        }
    }
}

/* "it must not contain overlong sequences or codepoints above U+10FFFF" */
static void sequences(void)
{
    static const uint8_t seconds[] = {0x01, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff};
    for (uint32_t first = 0x80; first < 0x100; first++) {
        for (size_t i = 0; i < CHECK_COUNT(seconds); i++) {
            const uint8_t second = seconds[i];
            const bool continues = second >= 0x80 && second < 0xc0;
            char text[] = {(char)first, (char)second, (char)0x80, (char)0xbf, 0};
            const bool two = first >= 0xc2 && first < 0xe0 && continues;
            const bool three = first >= 0xe0 && first < 0xf0 && continues &&
                               !(first == 0xe0 && second < 0xa0) && !(first == 0xed && second >= 0xa0);
            const bool four = first >= 0xf0 && first < 0xf5 && continues &&
                              !(first == 0xf0 && second < 0x90) && !(first == 0xf4 && second >= 0x90);
            CHECK_EQUAL(text_is_utf8((struct span){text, 2}), two);
            CHECK_EQUAL(text_is_utf8((struct span){text, 3}), three);
            CHECK_EQUAL(text_is_utf8((struct span){text, 4}), four);
            if (reference_load())
                CHECK_EQUAL(text_is_utf8((struct span){text, 4}), reference.validate_utf8(text, NULL));
        }
    }
}

/* Long texts are read eight bytes at a time: an error is found at every position. */
static void utf8_at_every_place(void)
{
    static const struct {
        const char *s;
        uint32_t n;
        bool valid;
    } inserts[] = {{"", 1, false},        {"\x80", 1, false},     {"\xff", 1, false},
                   {"\xc3\xa9", 2, true}, {"\xe2\x82", 2, false}, {"\xf0\x9f\x98\x80", 4, true},
                   {"\x7f", 1, true},     {"\x01", 1, true}};
    for (uint32_t n = 4; n <= 40; n++) {
        for (size_t k = 0; k < CHECK_COUNT(inserts); k++) {
            for (uint32_t at = 0; at + inserts[k].n <= n; at++) {
                char *text = malloc(n);
                REQUIRE(text);
                memset(text, 'x', n);
                memcpy(text + at, inserts[k].s, inserts[k].n);
                CHECK_EQUAL(text_is_utf8((struct span){text, n}), inserts[k].valid);
                free(text);
            }
        }
    }
}

static const struct check_test tests[] = {
    TEST(names),
    TEST(empty_text_is_no_name),
    TEST(lengths),
    TEST(every_character_at_every_place),
    TEST(every_character_is_utf8),
    TEST(sequences),
    TEST(utf8_at_every_place),
};
CHECK_MAIN(tests)
