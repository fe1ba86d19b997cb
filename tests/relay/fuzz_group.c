/* SPDX-License-Identifier: MIT */

/* The bus with a group; fake_group.h is the kernel that writes to its members: see fuzz_bus.h.
 */

#define FUZZ_GROUP 1
#include "fuzz_bus.h"
