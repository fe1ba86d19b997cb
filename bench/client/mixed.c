/* SPDX-License-Identifier: MIT */
#include "cases.h"
void mixed_run(void)
{
}
