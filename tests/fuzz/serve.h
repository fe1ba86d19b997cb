/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_SERVE_H
#define FUZZ_SERVE_H

/* A service that the bus starts: owns the name, answers calls, and ends when it is not called any more. how:
 * "starts"; "dies": it is killed behind its second message; "sleeps": it never comes to the bus. */
int serve(const char *name, const char *how);

#endif
