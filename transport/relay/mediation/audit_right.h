/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_AUDIT_RIGHT_H
#define OMNIBUS_AUDIT_RIGHT_H

#include <stdbool.h>

/*
 * The right to write audit records, CAP_AUDIT_WRITE, of a bus that gives up all other rights of root. It is a
 * capability of the calling thread, and of those that it makes.
 *
 * - A change of the user takes all capabilities: keep before it, then settle, which leaves this one only.
 * - So does execve(2): pass before it. The program executed settles before it makes threads or children, so
 *   that no service inherits the right.
 */
bool audit_right_held(void); /* in force */
/* True if the right is there to be kept. */
bool audit_right_keep(void);
/* Leaves no other capability, and none that a program executed would have. 0 or a negative errno. */
int audit_right_settle(void);
void audit_right_pass(void); /* as far as there is the right */
/* Ends what pass has begun, after an execve(2) that failed, or in the program executed. */
void audit_right_hold(void);

#endif
