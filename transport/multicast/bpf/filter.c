/* SPDX-License-Identifier: MIT */
#include "bpf/chain.h"

#include <errno.h>
#include <stdlib.h>

void filter_free(struct filter *filter)
{
    free(filter->instructions);
    memset(filter, 0, sizeof(*filter));
}

struct chain {
    struct filter *out;
    uint32_t length; /* of all programs, in instructions */
    chain_part part;
    const void *context;
};

static int append(struct chain *chain, const struct sock_filter *instructions, uint32_t n)
{
    struct filter *out = chain->out;
    if (out->count == sizeof(out->lengths) / sizeof(*out->lengths))
        return -E2BIG;
    size_t size = ((size_t)chain->length + n) * sizeof(*instructions);
    struct sock_filter *larger = realloc(out->instructions, size);
    if (!larger)
        return -ENOMEM;
    memcpy(larger + chain->length, instructions, n * sizeof(*instructions));
    out->instructions = larger;
    out->lengths[out->count++] = n;
    chain->length += n;
    return 0;
}

/* Appends a program for the entries, unless it would be too long; *length is its length in any case. */
static int try_part(struct chain *chain, const struct tree_entry *entries, uint32_t n, bool is_last,
                    uint32_t *length)
{
    struct program p;
    struct sock_filter *instructions;
    program_begin(&p);
    chain->part(&p, entries, n, is_last, chain->context);
    int error = program_resolve(&p, &instructions, length);
    if (!error && *length <= BPF_MAXINSNS)
        error = append(chain, instructions, *length);
    free(instructions);
    program_free(&p);
    return error;
}

static int filter_compile(struct chain *chain, const struct tree_entry *entries, uint32_t n)
{
    uint32_t done = 0, most = n; /* estimate of how many fit into one program */
    do {
        uint32_t some = n - done < most ? n - done : most, length;
        int error = try_part(chain, entries + done, some, done + some == n, &length);
        if (error)
            return error;
        if (length <= BPF_MAXINSNS)
            done += some;
        else if (some <= 1)
            return -E2BIG;
        /* an eighth less than would fit if all had the same size */
        most = (uint32_t)((uint64_t)some * (BPF_MAXINSNS - BPF_MAXINSNS / 8) / length);
        most = most ? most : 1;
    } while (done < n);
    return 0;
}

int chain_compile(struct filter *out, const struct tree_entry *entries, uint32_t n, chain_part part,
                  const void *context)
{
    struct chain chain = {.out = out, .part = part, .context = context};
    memset(out, 0, sizeof(*out));
    int error = filter_compile(&chain, entries, n);
    if (error)
        filter_free(out);
    return error;
}
