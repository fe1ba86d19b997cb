/* SPDX-License-Identifier: MIT */

/* The bus without a group: see fuzz_bus.h. */

#define FUZZ_GROUP 0
#include "fuzz_bus.h"
