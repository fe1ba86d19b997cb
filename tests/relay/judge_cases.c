/* SPDX-License-Identifier: MIT */

/*
 * Judges messages for tests/policy/judge.py. Commands come on standard input, numbers in native byte
 * order; a text is its length (32 bits, 0xffffffff: none) and its bytes.
 *
 *   P text                            sets the policy, a block
 *   C uid console gids                adds a client: 32 bits, 8 bits, a text of 32-bit numbers
 *   N text clients                    the queue of a name, a text of 32-bit numbers
 *   J sender recipient bits type n_fds path interface member error_name destination
 *                                     a verdict: 32 bits each (sender, recipient: 0xffffffff: the bus), texts
 *   O client name                     may the client own the name? 32 bits and a text
 *   F                                 flushes the answers
 *   X                                 removes all clients
 *
 * The bits: 1: a reply; 2: a requested one; 4: the recipient eavesdrops. A verdict is a line: allowed, rules
 * that matched, and log of the sender's side, and allowed and rules of the recipient's; 1 0 0 of the bus. The
 * answer about a name is 1 or 0.
 */

#include "../../transport/relay/send/judge.h"

#include <stdio.h>
#include <stdlib.h>

#define NONE 0xffffffffu
#define CLIENTS 16u

static struct bus bus;
static struct peer *clients[CLIENTS];
static uint32_t n_clients;

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "judge_cases: %s\n", what);
    abort();
}

static void take(void *to, size_t size)
{
    require(fread(to, 1, size, stdin) == size, "cut short");
}

static uint32_t take_number(void)
{
    uint32_t number;
    take(&number, sizeof(number));
    return number;
}

/* With a NUL at its end, as in a message. */
static struct span take_text(void)
{
    struct span text = {.n = take_number()};
    if (text.n == NONE)
        return (struct span){0};
    char *bytes = malloc((size_t)text.n + 1);
    require(bytes, "no memory");
    take(bytes, text.n);
    bytes[text.n] = '\0';
    text.s = bytes;
    return text;
}

static void drop(struct span text)
{
    free((void *)text.s);
}

static void load_policy(void)
{
    struct span block = take_text();
    struct policy *old = bus.policy;
    uint64_t generation = old ? old->generation + 1 : 1;
    require(policy_new(&bus.policy, (const uint8_t *)block.s, block.n, generation) == 0, "no policy");
    policy_free(old);
    drop(block);
}

static void add_client(void)
{
    struct relay_credentials credentials = {.uid = take_number()};
    uint8_t console;
    take(&console, 1);
    struct span gids = take_text();
    uint32_t *copy = malloc(gids.n + 1);
    require(copy && n_clients < CLIENTS, "no room for a client");
    memcpy(copy, gids.s, gids.n);
    credentials.at_console = console;
    credentials.gids = copy;
    credentials.n_gids = gids.n / 4;
    clients[n_clients] = peer_new(n_clients, -1, &credentials);
    require(clients[n_clients], "no client");
    clients[n_clients++]->active = true;
    free(copy);
    drop(gids);
}

static struct peer *client(uint32_t number)
{
    require(number == NONE || number < n_clients, "no such client");
    return number == NONE ? NULL : clients[number];
}

static void set_queue(void)
{
    struct span name = take_text(), numbers = take_text();
    struct peer *queue[CLIENTS];
    uint32_t n = numbers.n / 4;
    require(n <= CLIENTS, "a long queue");
    for (uint32_t i = 0; i < n; i++) {
        uint32_t number;
        memcpy(&number, numbers.s + 4 * i, sizeof(number));
        queue[i] = client(number);
    }
    require(registry_set_queue(&bus.registry, name, queue, n) == 0, "no queue");
    drop(name);
    drop(numbers);
}

static void drop_clients(void)
{
    for (uint32_t i = 0; i < n_clients; i++) {
        registry_leave(&bus.registry, clients[i]);
        peer_free(clients[i]);
    }
    n_clients = 0;
}

/* The cached verdicts must equal the uncached ones, including the rules' numbers. */
static void compare(const struct policy_case *c, struct policy_verdict send, struct policy_verdict receive,
                    uint32_t outcome)
{
    static struct denial denial;
    char expected[64];
    bool allowed = send.allow && receive.allow;
    require(outcome ==
                ((allowed ? POLICY_ALLOWED : POLICY_DENIED) | (send.allow && send.log ? POLICY_LOGGED : 0u)),
            "the outcome differs");
    snprintf(expected, sizeof(expected), "Rejected %s message, %u matched rules;",
             send.allow ? "receive" : "send", send.allow ? receive.matched : send.matched);
    require(judge(&bus, c, NULL) == allowed, "the first verdict differs");
    require(judge(&bus, c, &denial) == allowed, "the second verdict differs");
    require(allowed || strncmp(denial.text, expected, strlen(expected)) == 0, denial.text);
}

static void judge_case(struct policy_case *c, bool is_reply)
{
    struct policy_verdict send = {.allow = true}, receive = {.allow = true};
    struct policy_party sender = {.role = policy_role_of_bus(bus.policy)};
    struct policy_party recipient = {.role = policy_role_of_name(bus.policy, c->m->destination)};
    require(!c->sender || peer_party(c->sender, bus.policy, &sender), "no sender's side");
    require(!c->recipient || peer_party(c->recipient, bus.policy, &recipient), "no recipient's side");
    struct policy_class class;
    policy_classify(bus.policy, c->m, &class);
    class.bits |= is_reply && c->requested_reply ? POLICY_IS_REQUESTED : 0;
    class.bits |= c->eavesdropping ? POLICY_IS_EAVESDROPPING : 0;
    if (c->sender)
        send = policy_can_send(bus.policy, sender.identity, recipient.role, &class);
    if (c->recipient)
        receive = policy_can_receive(bus.policy, recipient.identity, sender.role, &class);
    compare(c, send, receive, policy_outcome(bus.policy, &sender, &recipient, &class));
    printf("%d %u %d %d %u\n", send.allow, send.matched, send.log, receive.allow, receive.matched);
}

static void take_case(void)
{
    struct message m = {0};
    struct policy_case c = {.m = &m};
    c.sender = client(take_number());
    c.recipient = client(take_number());
    uint32_t bits = take_number();
    m.type = (uint8_t)take_number();
    m.n_fds = take_number();
    m.reply_serial = bits & 1 ? 4711 : 0;
    c.requested_reply = bits & 2;
    c.eavesdropping = bits & 4;
    struct span *const texts[] = {&m.path, &m.interface, &m.member, &m.error_name, &m.destination};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        *texts[i] = take_text();
    judge_case(&c, bits & 1);
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        drop(*texts[i]);
}

static void take_own(void)
{
    struct peer *peer = client(take_number());
    struct span name = take_text();
    struct policy_party side;
    require(peer && peer_party(peer, bus.policy, &side), "no side");
    printf("%d\n", policy_can_own(side.identity, name));
    drop(name);
}

static void take_connect(void)
{
    const struct peer *peer = client(take_number());
    uint32_t owner = take_number();
    require(peer, "no memory for a peer");
    printf("%d\n", policy_can_connect(bus.policy, peer->credentials.uid, peer->credentials.gids,
                                      peer->credentials.n_gids, owner));
}

int main(void)
{
    int command;
    require(registry_init(&bus.registry, &bus.policy) == 0, "no registry");
    bus.n_log = UINT32_MAX; /* discard log lines */
    while ((command = getchar()) != EOF) {
        if (command == 'P')
            load_policy();
        else if (command == 'C')
            add_client();
        else if (command == 'N')
            set_queue();
        else if (command == 'J')
            take_case();
        else if (command == 'O')
            take_own();
        else if (command == 'L')
            take_connect();
        else if (command == 'X')
            drop_clients();
        else
            require(command == 'F' && fflush(stdout) == 0, "no such command");
    }
    drop_clients();
    registry_free(&bus.registry);
    policy_free(bus.policy);
    return EXIT_SUCCESS;
}
