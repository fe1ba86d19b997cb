/* SPDX-License-Identifier: MIT */

/*
 * A bus that ends anywhere, and its standby. The first bytes of an input say where: at which branch, call of
 * the kernel or allocation of the relay. Its actions are those of fuzz_bus.h. There the tables are left as
 * they are; the state that a standby writes of them has to be one that the next bus goes on with, in which
 * the actions follow and nothing is left at the end. Streams of clients stay whole: what was written of a
 * message is followed by the rest of it.
 *
 * The objects of the relay are compiled to call edge() at each branch (-fsanitize-coverage=trace-pc).
 */

#include <stdbool.h>

static bool grouped; /* there is a group, by the first byte of an input */
#define FUZZ_GROUP grouped
#define FUZZ_OWN_RUN
#include "fuzz_bus.h"

#include "../../transport/relay/resume/salvage.h"

#include <sanitizer/common_interface_defs.h>
#include <setjmp.h>
#include <signal.h>

#define SALVAGE_CRASHES 3 /* in one input, at most */
#define SALVAGE_KEPT 256
#define FAULTS BEGIN_ABRUPT_END /* the bus ends by faults of its own */
#define GROUPED BEGIN_THREAD

static struct {
    jmp_buf point;
    bool armed, trace;
    uint32_t left; /* moments until the next end */
    uint32_t open; /* descriptors at the begin of the input */
    struct input in;
    uint8_t how;
    uint8_t n;                   /* ends so far */
    uint64_t connected[CLIENTS]; /* numbers of their sockets before the latest action; 0: not connected */
    bool owed[CLIENTS];          /* and when the bus ended: the next bus has to have them */
} crash;

static void moment(void)
{
    if (!crash.armed || crash.left-- > 0)
        return;
    crash.armed = world.running = false;
    if (crash.trace)
        __sanitizer_print_stack_trace();
    longjmp(crash.point, 1);
}

/* At each branch of the relay. */
void __wrap___sanitizer_cov_trace_pc(void);

void __wrap___sanitizer_cov_trace_pc(void)
{
    world_moment();
}

/* A process that is killed ends after an ioctl that it is in. */
static int whole_ioctl(int fd, unsigned long request, void *argument)
{
    void (*at)(void) = world.moment;
    world_moment();
    world.moment = NULL;
    int result = fake_ioctl(fd, request, argument);
    world.moment = at;
    world_moment();
    return result;
}

static ssize_t whole_read(int fd, void *bytes, size_t size)
{
    void (*at)(void) = world.moment;
    world_moment();
    world.moment = NULL;
    ssize_t n = fake_read(fd, bytes, size);
    world.moment = at;
    world_moment();
    return n;
}

int __wrap_shutdown(int fd, int how);

int __wrap_shutdown(int fd, int how)
{
    (void)how;
    if (thing_of(fd))
        sockets_shutdown(fd, true, true);
    return 0;
}

/* The connection of a client. NULL: the bus has none. */
static struct peer *peer_of(const struct bus *bus, const struct client *c)
{
    const struct thing *other = c->fd >= 0 ? thing_of(c->fd)->other : NULL;
    for (struct table_node *node = NULL; other && (node = table_walk(&bus->peers, node));) {
        struct peer *peer = CONTAINER_OF(node, struct peer, node);
        if (thing_of(peer->fd) == other)
            return peer;
    }
    return NULL;
}

static void note_connected(void)
{
    for (int i = 0; i < CLIENTS; i++) {
        const struct peer *peer = peer_of(&control.relay->bus, &clients[i]);
        bool connected = peer && peer->active && !peer_is_gone(peer);
        crash.connected[i] = connected ? thing_of(clients[i].fd)->number : 0;
    }
}

/* A connection is not owed any more if the bus was about to lose it, or if the other end has gone. */
static bool is_given_up(const struct bus *bus, const struct client *c)
{
    const struct thing *other = c->fd >= 0 ? thing_of(c->fd)->other : NULL;
    const struct peer *peer = peer_of(bus, c);
    bool given_up = !other || (peer && peer->life != PEER_CONNECTED);
    const struct list *const lists[] = {&bus->unsettled, &bus->leaving};
    for (int i = 0; i < 2; i++) {
        LIST_FOR (at, lists[i])
            given_up |= thing_of(CONTAINER_OF(at, struct peer, in_leaving)->fd) == other;
    }
    return given_up;
}

static void note_owed(void)
{
    for (int i = 0; i < CLIENTS; i++)
        crash.owed[i] = crash.connected[i] && clients[i].fd >= 0 &&
                        thing_of(clients[i].fd)->number == crash.connected[i] &&
                        !is_given_up(&control.relay->bus, &clients[i]);
}

/* A bus that ends by faults of its own closes who is to blame, and in the end all. */
static void check_owed(void)
{
    for (int i = 0; i < CLIENTS && !(crash.how & FAULTS); i++)
        ASSERT(!crash.owed[i] || peer_of(&control.relay->bus, &clients[i]));
}

/* Of the next end: three bytes, for a run has some hundred thousand moments. */
static void arm(void)
{
    uint32_t when = input_byte(&crash.in);
    when |= (uint32_t)input_byte(&crash.in) << 8;
    when |= (uint32_t)(input_byte(&crash.in) & 3) << 16;
    crash.left = when;
    crash.armed = true;
}

static bool is_kept(int fd, const int *kept, int64_t n)
{
    bool found = fd == door || fd == client_spare;
    for (int i = 0; i < CLIENTS; i++)
        found |= clients[i].fd == fd;
    for (int64_t i = 0; i < n; i++)
        found |= kept[i] == fd;
    return found;
}

/* As execve(2) does with what the state does not mention. */
static void close_others(const struct upgrade_state *state)
{
    int kept[SALVAGE_KEPT];
    int64_t n = relay_state_descriptors(state->bytes, state->size, kept, SALVAGE_KEPT);
    ASSERT(n >= 0 && n <= SALVAGE_KEPT);
    for (int i = 0; i < DESCRIPTORS; i++) {
        if (descriptors[i] && !is_kept(DESCRIPTORS_FIRST + i, kept, n))
            close(DESCRIPTORS_FIRST + i);
    }
}

/* The memory of the dead process is left to itself. */
static void forget_memory(void)
{
    area.n = 0;
    for (int i = 0; i < WORLD_BLOCKS; i++) {
        if (world.blocks[i].used)
            __asan_poison_memory_region(world.blocks[i].memory, world.blocks[i].size);
        world.blocks[i].used = false;
    }
}

/* The standby's part. */
static void write_state(struct upgrade_state *state)
{
    struct dump_result result = {0};
    state->fd = memfd_create("omnibus-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ASSERT(state->fd >= 0);
    world_settle();
    world.running = world.dead = true;
    int error = salvage(&control.relay->bus, state->fd, (const uint8_t *)"", 0, &result);
    world.running = world.dead = false;
    if (error < 0)
        fprintf(stderr, "%s\n", result.why);
    ASSERT(error == 0);
    upgrade_map(state);
}

/* The control plane of the next bus has the queues of names from the state, and is asked everything anew. */
static void control_begin(void)
{
    const struct table *names = &control.relay->bus.registry.names;
    control.n_open = 0;
    memset(control.n_queued, 0, sizeof(control.n_queued));
    for (struct table_node *node = NULL; (node = table_walk(names, node));) {
        const struct name *name = CONTAINER_OF(node, struct name, node);
        uint32_t i = control_name(name->text, name->size);
        if (i == WORDS_OWNED) /* as control_event does */
            continue;
        LIST_FOR (at, &name->queue)
            control_enqueue(i, CONTAINER_OF(at, struct queue_entry, in_name)->peer->id);
    }
}

static void go_on(void)
{
    struct upgrade_state state = {.fd = -1};
    note_owed();
    write_state(&state);
    close_others(&state);
    forget_memory();
    upgrade_restore(&state, false);
    upgrade_end(&state);
    check_owed();
    control_begin();
    CONTROL_SURELY(relay_thaw(control.relay));
    CONTROL(relay_commit(control.relay));
    control_turn();
}

/* The actions, and all that follows them, are interrupted where the bus ends. */
static void act_until_the_end(void)
{
    world.moment = moment;
    fake_kernel = (struct umc_kernel){whole_ioctl, whole_read};
    if (crash.n == 0)
        begin(crash.how & (BEGIN_DOOR | BEGIN_PEERS));
    arm();
    act_all(&crash.in, note_connected);
    crash.armed = false;
    world.moment = NULL;
    leave();
    end();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    crash.in = (struct input){data, data + size};
    crash.how = input_byte(&crash.in);
    grouped = crash.how & GROUPED;
    crash.open = descriptors_count();
    crash.armed = false;
    crash.n = 0;
    memset(crash.connected, 0, sizeof(crash.connected));
    crash.trace = getenv("FUZZ_TRACE") != NULL; /* tells where the bus ends */
    world_begin();
    files_begin();
    ASSERT(begin_relay(0, &crash.in));
    while (setjmp(crash.point) != 0) {
        crash.n++;
        control.relay->bus.crash_note =
            (struct crash_note){.in_data_plane = 1, .signal = crash.how & FAULTS ? SIGSEGV : 0};
        go_on();
        if (crash.n < SALVAGE_CRASHES)
            continue;
        crash.armed = false;
        break;
    }
    act_until_the_end();
    world_end();
    ASSERT(descriptors_count() == crash.open);
    return 0;
}
