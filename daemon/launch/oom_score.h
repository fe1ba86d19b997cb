/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_OOM_SCORE_H
#define OMNIBUS_OOM_SCORE_H

/*
 * Drops this process's protection from the OOM killer; a positive score stays. Failures are ignored. Only
 * system calls.
 */
void oom_score_reset(void);

#endif
