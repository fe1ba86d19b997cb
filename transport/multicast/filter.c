/* SPDX-License-Identifier: MIT */
#include "filter.h"

#include <errno.h>
#include <stdlib.h>

void filter_free(struct filter *filter)
{
    free(filter->instructions);
    memset(filter, 0, sizeof(*filter));
}

/* One program that asks. */
static int ask(struct filter *out)
{
    const struct sock_filter answer = BPF_STMT(BPF_RET | BPF_K, UMC_ASK);
    memset(out, 0, sizeof(*out));
    out->instructions = malloc(sizeof(*out->instructions));
    if (!out->instructions)
        return -ENOMEM;
    out->instructions[0] = answer;
    out->count = out->lengths[0] = 1;
    return 0;
}

int filter_compile_egress(const struct filter_egress *egress, struct filter *out)
{
    (void)egress;
    return ask(out);
}

int filter_compile_ingress(const struct filter_ingress *ingress, struct filter *out)
{
    (void)ingress;
    return ask(out);
}
