/* SPDX-License-Identifier: MIT */

/*
 * A plugin for QEMU's software emulation: how many instructions a guest executes between the two marks that
 * the clients of the benchmark execute (../client/marks.h).  A halted CPU executes none, so idle time is left
 * out, and it is the same however busy the machine is.
 *
 *     -plugin build/counter.so,out=FILE[,profile=PREFIX]
 *
 * appends the count of each measurement to FILE as a line, and writes PREFIX.1, PREFIX.2 and so on with lines
 * of "address instructions" for each block of code.  A block that a page fault leaves early counts as a
 * whole: 0.1 % at most.
 *
 * Debian ships no header of this interface; the declarations are those of QEMU 7.2, and the version says so.
 */

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
typedef void (*block_made)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*executed)(unsigned cpu, void *data);

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, block_made);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, executed, enum qemu_plugin_cb_flags,
                                            void *);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, enum qemu_plugin_op, void *, uint64_t);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);

EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv);

#define BUCKETS (1u << 18)

struct block {
    struct block *next;
    uint64_t at, executed;
};

static uint64_t total;
static bool profiling;
static struct block *blocks[BUCKETS];
static const char *out, *prefix;

static struct block *block_at(uint64_t at)
{
    struct block **bucket = &blocks[(at ^ at >> 18) % BUCKETS];
    for (struct block *b = *bucket; b; b = b->next)
        if (b->at == at)
            return b;
    struct block *b = calloc(1, sizeof(*b));
    if (!b)
        abort();
    b->at = at;
    b->next = *bucket;
    return *bucket = b;
}

static void begin(unsigned cpu, void *unused)
{
    (void)cpu, (void)unused;
    total = 0;
    for (size_t i = 0; profiling && i < BUCKETS; i++)
        for (struct block *b = blocks[i]; b; b = b->next)
            b->executed = 0;
}

static void write_profile(void)
{
    static unsigned number;
    char name[1024];
    snprintf(name, sizeof(name), "%s.%u", prefix, ++number);
    FILE *file = fopen(name, "w");
    if (!file)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        for (const struct block *b = blocks[i]; b; b = b->next)
            if (b->executed)
                fprintf(file, "%" PRIx64 " %" PRIu64 "\n", b->at, b->executed);
    fclose(file);
}

static void end(unsigned cpu, void *unused)
{
    (void)cpu, (void)unused;
    FILE *file = out ? fopen(out, "a") : NULL;
    if (file) {
        fprintf(file, "%" PRIu64 "\n", total);
        fclose(file);
    }
    if (profiling)
        write_profile();
}

/* mov $0x5eed5eNN, %eax */
static executed mark(const struct qemu_plugin_insn *insn)
{
    static const uint8_t code[] = {0xb8, 0, 0x5e, 0xed, 0x5e};
    const uint8_t *data = qemu_plugin_insn_data(insn);
    if (qemu_plugin_insn_size(insn) != sizeof(code) || data[0] != code[0] || memcmp(data + 2, code + 2, 3))
        return NULL;
    return data[1] == 1 ? begin : data[1] == 2 ? end : NULL;
}

static void made(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    const size_t n = qemu_plugin_tb_n_insns(tb);
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        const executed callback = mark(insn);
        if (callback)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, callback, QEMU_PLUGIN_CB_NO_REGS, NULL);
    }
    qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &total, n);
    if (profiling)
        qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64,
                                                 &block_at(qemu_plugin_tb_vaddr(tb))->executed, n);
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "out=", 4))
            out = strdup(argv[i] + 4);
        else if (!strncmp(argv[i], "profile=", 8))
            prefix = strdup(argv[i] + 8);
        else
            return -1;
    }
    profiling = prefix;
    qemu_plugin_register_vcpu_tb_trans_cb(id, made);
    return 0;
}
