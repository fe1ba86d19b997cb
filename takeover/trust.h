/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TAKEOVER_TRUST_H
#define OMNIBUS_TAKEOVER_TRUST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * True if only root and owner can change what an absolute path leads to: the file, each directory on the way
 * to it and each link belong to one of them, and others can't write. A directory with the sticky bit may be
 * writable, since its entries are safe. The file is a program, or else a library. False, with a text in why.
 */
bool trust(const char *path, uid_t owner, bool program, char *why, size_t why_size);

#endif
