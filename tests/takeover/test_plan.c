/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

/* The state that omnibusd goes on with: docs/understanding/state.md. */

#include "plan.h"

#include "messages.h"
#include "resume/state_write.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define GUID "0123456789abcdef0123456789abcdef"

/* A daemon with one listener and two clients: :1.3 at 6, which owns a.b, and :1.5 at 5, which waits for it.
 */
struct bus {
    struct process process;
    struct socket_entry entries[8];
    struct sockets sockets;
    struct traffic traffic;
    struct snapshot snapshot;
    uint64_t ids[2], queue[2];
    uint32_t gids[2];
    struct snapshot_name name;
    struct snapshot_rule rules[2];
    struct plan_door door;
    struct plan plan;
    uint8_t *draft, *state;
    size_t draft_size, state_size;
    struct state_view view;
};

static uint8_t *content_of(int fd, size_t *size)
{
    struct stat found;
    fstat(fd, &found);
    *size = (size_t)found.st_size;
    uint8_t *bytes = malloc(*size + 1);
    if (pread(fd, bytes, *size, 0) != (ssize_t)*size)
        *size = 0;
    close(fd);
    return bytes;
}

/* As omnibusd writes it: all sections, without clients. */
static void write_draft(struct bus *bus)
{
    int fd = memfd_create("draft", 0);
    uint64_t size;
    char why[128];
    struct state_writer *w = malloc(sizeof(*w));
    state_write_begin(w, fd);
    for (int type = 1; type < RELAY_STATE_END; type++) {
        state_section_begin(w, (uint16_t)type, 1, true);
        if (type == RELAY_STATE_BUS) {
            state_put_text(w, SPAN(GUID));
            state_put64(w, 1);
            state_put64(w, 77);
        } else if (type == RELAY_STATE_CONTROL) {
            state_put_text(w, SPAN("{\"version\":\"x\",\"frozen\":1.25,\"connections\":0,\"way\":\"y\"}"));
        } else {
            state_put32(w, 0);
        }
        state_section_end(w);
    }
    state_write_end(w, &size);
    free(w);
    bus->draft = content_of(fd, &bus->draft_size);
    CHECK_EQUAL(state_open(&bus->plan.draft, bus->draft, bus->draft_size, true, why, sizeof(why)), 0);
}

static void add_client(struct bus *bus, int fd, uint64_t id, uint32_t uid)
{
    bus->entries[fd] = (struct socket_entry){.kind = SOCKET_CLIENT,
                                             .device = 8,
                                             .inode = 1000 + (uint64_t)fd,
                                             .name = bus->entries[4].name,
                                             .name_size = bus->entries[4].name_size,
                                             .peer = {.uid = uid,
                                                      .pid = 50,
                                                      .n_gids = 2,
                                                      .gids = bus->gids,
                                                      .label = (char *)(uintptr_t) "",
                                                      .loginfo = (char *)(uintptr_t) "uid=1"}};
    traffic_open(&bus->traffic, fd, false);
    traffic_name(&bus->traffic, fd, id);
}

static void begin(struct bus *bus)
{
    *bus = (struct bus){.process.uid = 1000, .ids = {3, 5}, .queue = {3, 5}, .gids = {10, 20}};
    bus->entries[4] =
        (struct socket_entry){.kind = SOCKET_LISTENER, .device = 8, .inode = 1004, .name_size = 20};
    strcpy(bus->entries[4].name.sun_path, "/run/bus");
    bus->door = (struct plan_door){4, "fedcba9876543210fedcba9876543210"};
    bus->sockets = (struct sockets){bus->entries, 8};
    bus->name = (struct snapshot_name){(char *)(uintptr_t) "a.b", bus->queue, 2};
    bus->rules[0] = (struct snapshot_rule){5, (char *)(uintptr_t) "member='A'", 10, 2};
    bus->rules[1] = (struct snapshot_rule){5, (char *)(uintptr_t) "member='B'", 10, 1};
    bus->snapshot = (struct snapshot){.guid = GUID,
                                      .ids = bus->ids,
                                      .n_ids = 2,
                                      .names = &bus->name,
                                      .n_names = 1,
                                      .rules = bus->rules,
                                      .n_rules = 2};
    traffic_init(&bus->traffic);
    add_client(bus, 6, 3, 0);
    add_client(bus, 5, 5, 33);
    bus->plan = (struct plan){.process = &bus->process,
                              .sockets = &bus->sockets,
                              .traffic = &bus->traffic,
                              .snapshot = &bus->snapshot,
                              .doors = &bus->door,
                              .n_doors = 1,
                              .now = 123456};
    write_draft(bus);
}

/* 0 or the error of plan_write; the state is open then. */
static int write_state(struct bus *bus)
{
    char why[128];
    int fd = memfd_create("state", 0);
    int error = plan_write(&bus->plan, fd);
    bus->state = content_of(fd, &bus->state_size);
    if (error == 0)
        error = state_open(&bus->view, bus->state, bus->state_size, true, why, sizeof(why));
    return error;
}

static void end(struct bus *bus)
{
    traffic_free(&bus->traffic);
    free(bus->draft);
    free(bus->state);
}

static void sections_are_whole(void)
{
    struct bus bus;
    begin(&bus);
    CHECK_EQUAL(write_state(&bus), 0);
    for (uint32_t type = 1; type < RELAY_STATE_END; type++) {
        /* there are none where nothing has crashed or observes, no module mediates, no container has a server
         */
        bool none = type == RELAY_STATE_CRASHES || type == RELAY_STATE_MEDIATION ||
                    type == RELAY_STATE_INSTANCES || type == RELAY_STATE_OBSERVERS;
        CHECK_EQUAL(bus.view.places[type].content == NULL, none);
    }
    struct state_reader r = state_section(&bus.view, RELAY_STATE_BUS);
    CHECK_SPAN(state_get_bytes(&r), GUID);
    CHECK(state_get64(&r) > 5); /* no unique name is used twice */
    CHECK_EQUAL(state_get64(&r), 77);
    end(&bus);
}

static void descriptors(void)
{
    static const uint32_t expected[] = {4, 6, 5};
    struct bus bus;
    begin(&bus);
    CHECK_EQUAL(write_state(&bus), 0);
    struct state_reader r = state_section(&bus.view, RELAY_STATE_DESCRIPTORS);
    CHECK_EQUAL(state_count(&r, 20), 3);
    for (size_t i = 0; i < 3; i++) {
        CHECK_EQUAL(state_get32(&r), expected[i]);
        CHECK_EQUAL(state_get64(&r), 8);
        CHECK_EQUAL(state_get64(&r), 1000 + expected[i]);
    }
    CHECK(state_at_end(&r));
    end(&bus);
}

static void peers(void)
{
    struct bus bus;
    begin(&bus);
    stream_enter(&bus.traffic.clients[5]->in, 0, NULL, NULL);
    stream_add(&bus.traffic.clients[5]->in, (const uint8_t *)"l\1\0", 3, NULL, NULL);
    CHECK_EQUAL(write_state(&bus), 0);
    struct state_reader r = state_section(&bus.view, RELAY_STATE_PEERS);
    CHECK_EQUAL(state_count(&r, 128), 2);
    for (uint32_t i = 0; i < 2; i++) {
        CHECK_EQUAL(state_get64(&r), bus.ids[i]);
        uint32_t flags = state_get_flags(&r, STATE_PEER_FLAGS);
        CHECK_EQUAL(flags, STATE_PEER_ACTIVE | STATE_PEER_FD_PASSING |
                               (i == 0 ? STATE_PEER_PRIVILEGED : STATE_PEER_BEGUN));
        CHECK_EQUAL(state_get32(&r), i == 0 ? 0 : 33);
        CHECK_EQUAL(state_get32(&r), 50);
        CHECK_EQUAL(state_count(&r, 4), 2);
        state_get64(&r);
        CHECK_SPAN(state_get_bytes(&r), "");
        CHECK_SPAN(state_get_bytes(&r), "uid=1");
        CHECK_EQUAL(state_get32(&r), 1 + i);
        CHECK_EQUAL(state_get32(&r), 0); /* the door */
        state_get64(&r);
        state_get64(&r);
        CHECK(state_get32(&r) > 0);
        state_get64(&r);
        CHECK_EQUAL(state_get_bytes(&r).n, i == 0 ? 0 : 3);
        state_get64(&r);
        for (int k = 0; k < 10; k++)
            CHECK_EQUAL(state_get64(&r), 0);
    }
    CHECK(state_at_end(&r));
    end(&bus);
}

static void names(void)
{
    struct bus bus;
    begin(&bus);
    CHECK_EQUAL(write_state(&bus), 0);
    struct state_reader r = state_section(&bus.view, RELAY_STATE_NAMES);
    CHECK_EQUAL(state_get32(&r), 1);
    CHECK_SPAN(state_get_bytes(&r), "a.b");
    CHECK_EQUAL(state_get32(&r), 2);
    for (uint32_t i = 0; i < 2; i++) {
        CHECK_EQUAL(state_get64(&r), bus.queue[i]);
        CHECK_EQUAL(state_get32(&r), 0);
        CHECK_EQUAL(state_get32(&r), 0);
    }
    CHECK(state_at_end(&r));
    end(&bus);
}

static void rules(void)
{
    struct bus bus;
    begin(&bus);
    CHECK_EQUAL(write_state(&bus), 0);
    struct state_reader r = state_section(&bus.view, RELAY_STATE_RULES);
    CHECK_EQUAL(state_get32(&r), 1);
    CHECK_EQUAL(state_get64(&r), 5);
    CHECK_EQUAL(state_get32(&r), 2);
    CHECK_EQUAL(state_get32(&r), 2);
    CHECK_SPAN(state_get_bytes(&r), "member='A'");
    CHECK_EQUAL(state_get32(&r), 1);
    CHECK_SPAN(state_get_bytes(&r), "member='B'");
    CHECK(state_at_end(&r));
    end(&bus);
}

static void deliver_call(struct bus *bus, int fd)
{
    struct bytes bytes = message_of((struct marshal_header){.type = MESSAGE_METHOD_CALL,
                                                            .serial = 7,
                                                            .member = SPAN("M"),
                                                            .sender = SPAN(":1.3"),
                                                            .destination = SPAN("x.y")});
    traffic_write(&bus->traffic, fd, bytes.data, bytes.n, true);
    bytes_free(&bytes);
}

static void pending_replies(void)
{
    struct bus bus;
    begin(&bus);
    deliver_call(&bus, 5);
    CHECK_EQUAL(write_state(&bus), 0);
    struct state_reader r = state_section(&bus.view, RELAY_STATE_REPLIES);
    CHECK_EQUAL(state_count(&r, 28), 1);
    CHECK_EQUAL(state_get64(&r), 3);
    CHECK_EQUAL(state_get64(&r), 5);
    CHECK_EQUAL(state_get32(&r), 7);
    CHECK_EQUAL(state_get64(&r), 123456);
    end(&bus);
}

/* One that eavesdrops gets calls that are not for it. */
static void overheard_calls_wait_for_no_reply(void)
{
    struct bus bus;
    begin(&bus);
    bus.rules[0].text = (char *)(uintptr_t) "eavesdrop='true'";
    bus.rules[0].size = 16;
    deliver_call(&bus, 5);
    CHECK_EQUAL(write_state(&bus), 0);
    struct state_reader r = state_section(&bus.view, RELAY_STATE_REPLIES);
    CHECK_EQUAL(state_get32(&r), 0);
    end(&bus);
}

static void control_has_the_time_and_the_number(void)
{
    struct bus bus;
    begin(&bus);
    CHECK_EQUAL(write_state(&bus), 0);
    struct state_reader r = state_section(&bus.view, RELAY_STATE_CONTROL);
    state_get32(&r);
    struct span text = {(const char *)r.at, (uint32_t)(r.end - r.at)};
    CHECK_SPAN(text, "{\"version\":\"x\",\"frozen\":123.456000,\"connections\":2,\"way\":\"y\"}");
    end(&bus);
}

/* A name without its descriptor, or an owner that has left: nothing is made up. */
static void what_is_unknown_is_an_error(void)
{
    struct bus bus;
    begin(&bus);
    traffic_close(&bus.traffic, 5);
    CHECK(write_state(&bus) < 0);
    end(&bus);
    begin(&bus);
    bus.queue[1] = 4;
    CHECK(write_state(&bus) < 0);
    end(&bus);
    begin(&bus);
    bus.entries[6].kind = SOCKET_NONE;
    CHECK(write_state(&bus) < 0);
    end(&bus);
}

static const struct check_test tests[] = {
    TEST(sections_are_whole),
    TEST(descriptors),
    TEST(peers),
    TEST(names),
    TEST(rules),
    TEST(pending_replies),
    TEST(overheard_calls_wait_for_no_reply),
    TEST(control_has_the_time_and_the_number),
    TEST(what_is_unknown_is_an_error),
};
CHECK_MAIN(tests)
