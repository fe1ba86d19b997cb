/* SPDX-License-Identifier: MIT */

/*
 * The relay's parser, for tests/multicast/relay_reading.py. Commands come on standard input; a
 * text is its length (32 bits, native byte order) and its bytes.
 *
 *   M message          is parsed: a line with the error, rewrite, n_fds, big_endian, type, flags, serial,
 *                      reply_serial, and path, interface, member, error_name and destination in hexadecimal
 *   R text             adds a match rule
 *   S sender message   a broadcast: a line with 0 or 1 for each rule
 *   X                  removes all rules
 *
 * Each answer is flushed at once.
 */

#include "../../transport/relay/match/match.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_RULES 64u

static struct match_index *indexes[MAX_RULES];
static struct match_list lists[MAX_RULES];
static uint32_t n_rules;

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "filter_cases: %s\n", what);
    abort();
}

static void take(void *to, size_t size)
{
    require(fread(to, 1, size, stdin) == size, "cut short");
}

/* In a block of exactly its size, so that reading beyond it is detected. */
static struct span take_text(void)
{
    uint32_t n;
    take(&n, sizeof(n));
    char *bytes = malloc(n);
    require(bytes || n == 0, "no memory");
    take(bytes, n);
    return (struct span){bytes, n};
}

static void drop(struct span text)
{
    free((void *)text.s);
}

/* Parses a message; a size other than that in its header is an error. */
static enum message_error parse(struct message *m, struct span data)
{
    uint32_t size;
    *m = (struct message){0};
    enum message_error error = message_frame((const uint8_t *)data.s, data.n, MESSAGE_MAX_SIZE, &size);
    return error ? error : message_parse(m, (const uint8_t *)data.s, data.n);
}

static void print_text(struct span text)
{
    putchar(' ');
    if (!text.s)
        putchar('-');
    for (uint32_t i = 0; i < text.n; i++)
        printf("%02x", (uint8_t)text.s[i]);
}

enum judgement { RIGHT, WRONG_CONTENTS, WRONG };

/* Whether only the characters of a text or the values in the body are invalid */
static enum judgement judgement(enum message_error error)
{
    if (error == MESSAGE_OK)
        return RIGHT;
    if (error == MESSAGE_BAD_SENDER || error == MESSAGE_BAD_REPLY_SERIAL)
        return WRONG;
    return error >= MESSAGE_BAD_PATH ? WRONG_CONTENTS : WRONG;
}

static void read_message(void)
{
    struct span data = take_text();
    struct message m;
    enum message_error error = parse(&m, data);
    printf("%d %d %u %d %u %u %u %u", judgement(error), m.rewrite, m.n_fds, m.big_endian, m.type, m.flags,
           m.serial, m.reply_serial);
    print_text(m.path);
    print_text(m.interface);
    print_text(m.member);
    print_text(m.error_name);
    print_text(m.destination);
    putchar('\n');
    drop(data);
}

static void add_rule(void)
{
    struct span text = take_text();
    struct match_rule *rule;
    char why[256];
    require(n_rules < MAX_RULES, "too many rules");
    require(match_rule_parse(text, &rule, why, sizeof(why)) == 0, "a wrong rule");
    require(match_index_new(&indexes[n_rules]) == 0, "no index");
    require(match_index_add(indexes[n_rules], &lists[n_rules], rule), "no memory");
    n_rules++;
    drop(text);
}

static void broadcast(void)
{
    struct span sender = take_text(), data = take_text();
    struct message m;
    require(parse(&m, data) == MESSAGE_OK, "a wrong message");
    const struct match_subject subject = {.m = &m, .sender_names = &sender, .n_sender_names = 1};
    for (uint32_t i = 0; i < n_rules; i++)
        putchar(match_list_matches(&lists[i], &subject) ? '1' : '0');
    putchar('\n');
    drop(sender);
    drop(data);
}

static void drop_rules(void)
{
    while (n_rules > 0) {
        match_index_free(indexes[--n_rules]);
        lists[n_rules] = (struct match_list){0};
    }
}

int main(void)
{
    int command;
    while ((command = getchar()) != EOF) {
        if (command == 'M')
            read_message();
        else if (command == 'R')
            add_rule();
        else if (command == 'S')
            broadcast();
        else if (command == 'X')
            drop_rules();
        else
            require(false, "no such command");
        if (command == 'M' || command == 'S')
            require(fflush(stdout) == 0, "can't write");
    }
    drop_rules();
    return EXIT_SUCCESS;
}
