/* SPDX-License-Identifier: MIT */
#include "mediation/audit_right.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RIGHT CAP_TO_INDEX(CAP_AUDIT_WRITE)
#define RIGHT_MASK CAP_TO_MASK(CAP_AUDIT_WRITE)

/* The C library has no capget(2) and capset(2); these are its arguments. */
struct capabilities {
    struct __user_cap_header_struct header;
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
};

static bool read_capabilities(struct capabilities *all)
{
    *all = (struct capabilities){.header.version = _LINUX_CAPABILITY_VERSION_3};
    return syscall(SYS_capget, &all->header, all->data) == 0;
}

static int write_capabilities(struct capabilities *all)
{
    return syscall(SYS_capset, &all->header, all->data) < 0 ? -errno : 0;
}

bool audit_right_held(void)
{
    struct capabilities all;
    return read_capabilities(&all) && all.data[RIGHT].effective & RIGHT_MASK;
}

bool audit_right_keep(void)
{
    struct capabilities all;
    return read_capabilities(&all) && all.data[RIGHT].permitted & RIGHT_MASK &&
           prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0;
}

int audit_right_settle(void)
{
    struct capabilities all = {.header.version = _LINUX_CAPABILITY_VERSION_3};
    all.data[RIGHT].permitted = all.data[RIGHT].effective = RIGHT_MASK;
    int error = write_capabilities(&all);
    prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
    return error;
}

/* The kernel lowers the ambient capability with the inheritable one. */
static bool set_inheritable(bool inheritable)
{
    struct capabilities all;
    if (!read_capabilities(&all) || !(all.data[RIGHT].permitted & RIGHT_MASK))
        return false;
    if (inheritable)
        all.data[RIGHT].inheritable |= RIGHT_MASK;
    else
        all.data[RIGHT].inheritable &= ~(uint32_t)RIGHT_MASK;
    return write_capabilities(&all) == 0;
}

void audit_right_pass(void)
{
    if (set_inheritable(true))
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_AUDIT_WRITE, 0, 0);
}

void audit_right_hold(void)
{
    set_inheritable(false);
}
