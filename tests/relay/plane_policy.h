/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TEST_PLANE_POLICY_H
#define OMNIBUS_TEST_PLANE_POLICY_H

#include <stdint.h>

/* Everything is allowed. */
static const uint8_t plane_policy[] = {'O', 'M', 'N', 'I', 'P', 'O', 'L', '1', 2, 0, 0, 0, 64, 0, 0, 0, 160,
                                       0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                       /* send */
                                       1, 1, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                       0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 4, 0, 0, 0, 0, 0,
                                       0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                       /* receive, requested replies and what is overheard */
                                       2, 1, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                       0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 6, 0, 0, 0, 0, 0,
                                       0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};

#endif
