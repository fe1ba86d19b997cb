/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_OOM_SCORE_H
#define OMNIBUS_OOM_SCORE_H

/*
 * Gives up what protection this process has from the OOM killer; more exposed than usual it stays. It is a
 * luxury: there is nothing to be done if it fails. Only system calls.
 */
void oom_score_reset(void);

#endif
