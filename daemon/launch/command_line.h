/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_COMMAND_LINE_H
#define OMNIBUS_COMMAND_LINE_H

/*
 * Cuts a command line into words as daemon/activation/command_line.py does. *argv ends with NULL and is to be
 * freed at once, with all its words. -EINVAL: a quote or an escape has no end; -ENOMEM.
 */
int command_line_split(const char *text, char ***argv);

#endif
