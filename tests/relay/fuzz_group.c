/* SPDX-License-Identifier: MIT */

/* The bus with a group, whose members are written to by the kernel that fake_group.h plays: see fuzz_bus.h.
 */

#define FUZZ_GROUP 1
#include "fuzz_bus.h"
