/* SPDX-License-Identifier: MIT */
#include "order.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define WATCHED 20000u /* microseconds, the longest time with a monitor */
#define UNWATCHED 200000u

struct records *records;

/* While it is a monitor all messages go through the bus. */
static void watcher(void *argument)
{
    struct connection c = {0};
    struct message m;
    uint32_t state = random_begin(MAX_CLIENTS);
    (void)argument;
    for (;;) {
        pause_for(random_below(&state, UNWATCHED));
        connection_open(&c);
        become_monitor(&c);
        pause_for(random_below(&state, WATCHED));
        while (random_below(&state, 64) && next_here(&c, &m))
            continue;
        connection_close(&c);
        atomic_fetch_add(&records->monitors, 1);
    }
}

static void check_casts(int receiver)
{
    uint32_t n = records->n_casts[receiver];
    if (n != records->n_casts[0])
        die("%d got %u casts, and 0 got %u", receiver, n, records->n_casts[0]);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t got = records->casts[receiver][i], other = records->casts[0][i];
        if (got != other)
            die("cast %u is number %u of %u for %d and number %u of %u for 0", i, got & 0xffffff, got >> 24,
                receiver, other & 0xffffff, other >> 24);
    }
}

static void check_sender(int sender)
{
    for (uint32_t number = 0; number < records->n_sent[sender]; number++) {
        const struct sent *sent = &records->sent[sender][number];
        for (int receiver = 0; receiver < load.clients; receiver++) {
            uint8_t got = records->got[receiver][sender][number];
            bool is_for = sent->to == ALL || (sent->to == receiver && !sent->refused);
            if (got != is_for && !(sent->to == SOME && got == 1))
                die("number %u of %d reached %d %u times", number, sender, receiver, got);
        }
    }
}

void verdict(void)
{
    uint32_t all = 0;
    for (int i = 0; i < load.clients; i++) {
        check_casts(i);
        check_sender(i);
        all += records->n_sent[i];
    }
    printf("%d clients, %u messages: %u broadcasts for all, %u for some that %u got, %u calls (%u refused), "
           "%u answers, %u signals to one, %u big, %u with descriptors; %u monitors\n",
           load.clients, all, records->kinds[CAST], records->kinds[EXTRA], records->extras,
           records->kinds[ASK] + records->kinds[SEEK] + records->kinds[TELL], records->refused,
           records->kinds[ANSWER], records->kinds[NOTE], records->big, records->descriptors,
           records->monitors);
}

bool order_run(void)
{
    records = mmap(NULL, sizeof(*records), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (records == MAP_FAILED)
        die("mmap: %s", strerror(errno));
    struct talker *talker = calloc(1, sizeof(*talker));
    if (!talker)
        die("out of memory");
    for (int i = 0; i < load.clients; i++) {
        talker->number = i;
        process_spawn("talker", load.deadline, talk, talker);
    }
    process_spawn("watcher", load.deadline, watcher, NULL);
    if (!process_start(load.clients) || !process_wait_first(load.clients))
        return false;
    verdict();
    return true;
}
