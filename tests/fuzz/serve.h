/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_SERVE_H
#define FUZZ_SERVE_H

/* A service that the bus starts: owns the name, answers calls, and exits without further calls. how:
 * "starts"; "dies": it is killed after its second message; "sleeps": it never connects. */
int serve(const char *name, const char *how);

#endif
