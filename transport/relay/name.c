/* SPDX-License-Identifier: MIT */
#include "message.h"

/* D-Bus specification, "Valid Names" and "Valid Object Paths"; where libdbus is more lenient, libdbus. */

enum {
    LETTER = 1, /* and '_' */
    DIGIT = 2,
    DASH = 4,
    DOT = 8,
    SLASH = 16,
};

static const uint8_t classes[256] = {
    ['A' ... 'Z'] = LETTER, ['a' ... 'z'] = LETTER, ['_'] = LETTER,
    ['0' ... '9'] = DIGIT,  ['-'] = DASH,           ['.'] = DOT,
    ['/'] = SLASH,
};

/*
 * Elements with separators between them: an element's first character must be of the class first, each other
 * one of rest. No branch depends on the text, so that nothing is mispredicted. *separators counts them.
 */
static bool elements_are_valid(const char *s, uint32_t n, uint8_t first, uint8_t rest, uint8_t separator,
                               uint32_t *separators)
{
    uint8_t allowed = first;
    uint32_t bad = 0, count = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint8_t class = classes[(uint8_t)s[i]];
        bad |= !(class & allowed);
        count += class == separator;
        allowed = class == separator ? first : rest | separator;
    }
    *separators = count;
    /* allowed is still first when nothing followed the last separator */
    return !bad && allowed != first;
}

/* An interface's or a well-known name's manner: letters first, with at least so many dots. */
static bool is_dotted(struct span name, uint8_t more, uint32_t least)
{
    uint32_t dots;
    if (name.n > MESSAGE_MAX_NAME)
        return false;
    return elements_are_valid(name.s, name.n, LETTER | more, LETTER | DIGIT | more, DOT, &dots) &&
           dots >= least;
}

bool name_is_unique(struct span name)
{
    /* ":" alone passes, as in libdbus; so does ":.1" */
    uint32_t dots;
    const uint8_t class = LETTER | DIGIT | DASH;
    if (name.n == 0 || name.n > MESSAGE_MAX_NAME || name.s[0] != ':')
        return false;
    if (name.n == 1)
        return true;
    uint32_t from = name.s[1] == '.' ? 2 : 1;
    return elements_are_valid(name.s + from, name.n - from, class, class, DOT, &dots);
}

bool name_is_well_known(struct span name)
{
    return is_dotted(name, DASH, 1);
}

bool name_is_bus_name(struct span name)
{
    return name.n && name.s[0] == ':' ? name_is_unique(name) : name_is_well_known(name);
}

bool name_is_namespace(struct span name)
{
    return name.n && name.s[0] == ':' ? name_is_unique(name) : is_dotted(name, DASH, 0);
}

bool name_is_interface(struct span name)
{
    return is_dotted(name, 0, 1);
}

bool name_is_error(struct span name)
{
    return name_is_interface(name);
}

bool name_is_member(struct span name)
{
    uint32_t none;
    return name.n <= MESSAGE_MAX_NAME && elements_are_valid(name.s, name.n, LETTER, LETTER | DIGIT, 0, &none);
}

bool name_is_path(struct span path)
{
    uint32_t slashes;
    if (path.n == 0 || path.s[0] != '/')
        return false;
    return path.n == 1 ||
           elements_are_valid(path.s + 1, path.n - 1, LETTER | DIGIT, LETTER | DIGIT, SLASH, &slashes);
}
