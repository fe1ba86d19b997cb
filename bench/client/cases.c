/* SPDX-License-Identifier: MIT */
#include "cases.h"

#include "bystander.h"
#include "pair.h"
#include "process.h"

static void rtt(const char *detail)
{
    (void)detail;
    pair_run("rtt", &(struct pair){.echo = true, .one = true, .size = options.size});
}

static void bystander(const char *detail)
{
    bystander_run(detail);
}

static const struct {
    const char *name;
    void (*run)(const char *detail);
} cases[] = {
    {"rtt", rtt},
    {"bystander", bystander},
};

void case_run(const char *name, const char *detail)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        if (same(name, cases[i].name)) {
            cases[i].run(detail);
            return;
        }
    }
    die("no case %s", name);
}
