/* SPDX-License-Identifier: MIT */
#include "base/hash.h"

#include <errno.h>
#include <sys/random.h>

int hash_key_draw(struct hash_key *key)
{
    ssize_t n;
    do
        n = getrandom(key, sizeof(*key), 0);
    while (n < 0 && errno == EINTR);
    key->factor |= 1;
    if (n == sizeof(*key))
        return 0;
    return n < 0 ? -errno : -EIO;
}
