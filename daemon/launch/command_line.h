/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_COMMAND_LINE_H
#define OMNIBUS_COMMAND_LINE_H

/*
 * Splits a command line into words as daemon/activation/command_line.py does. *argv ends with NULL, and is
 * one allocation that includes its words. -EINVAL: an unclosed quote or escape; -ENOMEM.
 */
int command_line_split(const char *text, char ***argv);

#endif
