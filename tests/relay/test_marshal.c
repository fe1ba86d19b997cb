/* SPDX-License-Identifier: MIT */

/* The bus's own messages: written by marshal.c, read by message.c and libdbus */

#include "../../transport/relay/wire/marshal.h"
#include "check.h"
#include "reference.h"

static const struct marshal_header reply = {
    .type = MESSAGE_METHOD_RETURN,
    .flags = MESSAGE_NO_REPLY_EXPECTED,
    .serial = 12,
    .reply_serial = 34,
    .destination = {":1.5", 4},
    .sender = {"org.freedesktop.DBus", 20},
};

static bool same_text(struct span a, struct span b)
{
    return !a.s == !b.s && span_equal(a, b);
}

/* The fields known without parsing are those that a parser finds. */
static void is_known(const struct marshal *w, const struct message *read)
{
    struct message m;
    marshal_message(w, &m);
    CHECK(m.data == read->data);
    CHECK_EQUAL(m.size, read->size);
    CHECK_EQUAL(m.fields_size, read->fields_size);
    CHECK_EQUAL(m.body_offset, read->body_offset);
    CHECK_EQUAL(m.body_size, read->body_size);
    CHECK_EQUAL(m.serial, read->serial);
    CHECK_EQUAL(m.reply_serial, read->reply_serial);
    CHECK_EQUAL(m.n_fds, read->n_fds);
    CHECK_EQUAL(m.type, read->type);
    CHECK_EQUAL(m.flags, read->flags);
    CHECK_EQUAL(m.big_endian, read->big_endian);
    CHECK_EQUAL(m.rewrite, read->rewrite);
    CHECK(same_text(m.path, read->path) && same_text(m.interface, read->interface) &&
          same_text(m.member, read->member) && same_text(m.error_name, read->error_name) &&
          same_text(m.destination, read->destination) && same_text(m.sender, read->sender) &&
          same_text(m.signature, read->signature));
}

static enum message_error verdict(const struct marshal *w, struct message *m)
{
    const enum message_error error = message_parse(m, w->data, (uint32_t)w->size);
    if (error == MESSAGE_OK)
        is_known(w, m);
    if (reference_load() && !m->n_fds)
        CHECK_EQUAL(reference_accepts(w->data, (uint32_t)w->size), error == MESSAGE_OK);
    return error;
}

static void a_reply_without_body(void)
{
    struct message m;
    struct marshal w = {0};
    marshal_begin(&w, &reply);
    REQUIRE(CHECK(marshal_end(&w)));
    REQUIRE(CHECK_EQUAL(verdict(&w, &m), MESSAGE_OK));
    CHECK_EQUAL(m.type, MESSAGE_METHOD_RETURN);
    CHECK_EQUAL(m.flags, MESSAGE_NO_REPLY_EXPECTED);
    CHECK_EQUAL(m.serial, 12);
    CHECK_EQUAL(m.reply_serial, 34);
    CHECK_EQUAL(m.body_size, 0);
    CHECK_SPAN(m.destination, ":1.5");
    CHECK_SPAN(m.sender, "org.freedesktop.DBus");
    CHECK(!m.path.s && !m.interface.s && !m.member.s && !m.error_name.s && !m.signature.s);
    marshal_free(&w);
    CHECK(!w.data && w.size == 0);
}

static void every_field(void)
{
    struct message m;
    struct marshal w = {0};
    struct marshal_header header = reply;
    header.type = MESSAGE_SIGNAL;
    header.path = SPAN("/org/freedesktop/DBus");
    header.interface = SPAN("a.b");
    header.member = SPAN("M");
    header.error_name = SPAN("a.E");
    header.n_fds = 2;
    marshal_begin(&w, &header);
    REQUIRE(CHECK(marshal_end(&w)));
    REQUIRE(CHECK_EQUAL(verdict(&w, &m), MESSAGE_OK));
    CHECK_SPAN(m.path, "/org/freedesktop/DBus");
    CHECK_SPAN(m.interface, "a.b");
    CHECK_SPAN(m.member, "M");
    CHECK_SPAN(m.error_name, "a.E");
    CHECK_EQUAL(m.n_fds, 2);
    marshal_free(&w);
}

static void every_kind_of_value(void)
{
    struct message m;
    struct marshal w = {0};
    struct marshal_header header = reply;
    const struct span names[] = {SPAN("a"), SPAN(""), SPAN("bcd")};
    header.signature = SPAN("ybutsgasasa{sv}ay");
    marshal_begin(&w, &header);
    marshal_byte(&w, 200);
    marshal_boolean(&w, true);
    marshal_uint32(&w, 0x01020304);
    marshal_uint64(&w, 0x0102030405060708);
    marshal_string(&w, SPAN("text"));
    marshal_signature(&w, SPAN("as"));
    marshal_string_array(&w, names, CHECK_COUNT(names));
    marshal_string_array(&w, NULL, 0);
    const size_t dict = marshal_array_begin(&w, 8);
    for (uint32_t i = 0; i < 2; i++) {
        marshal_align(&w, 8);
        marshal_string(&w, SPAN("key"));
        marshal_signature(&w, SPAN("u"));
        marshal_uint32(&w, i);
    }
    marshal_array_end(&w, dict, 8);
    const size_t bytes = marshal_array_begin(&w, 1);
    marshal_raw(&w, "xyz", 3);
    marshal_array_end(&w, bytes, 1);
    REQUIRE(CHECK(marshal_end(&w)));
    REQUIRE(CHECK_EQUAL(verdict(&w, &m), MESSAGE_OK));

    struct message_args args;
    struct message_arg arg;
    message_args_begin(&args, &m);
    REQUIRE(message_args_next(&args, &arg));
    CHECK_EQUAL(arg.number, 200);
    REQUIRE(message_args_next(&args, &arg));
    CHECK_EQUAL(arg.number, 1);
    REQUIRE(message_args_next(&args, &arg));
    CHECK_EQUAL(arg.number, 0x01020304);
    REQUIRE(message_args_next(&args, &arg));
    REQUIRE(message_args_next(&args, &arg));
    CHECK_SPAN(arg.text, "text");
    CHECK(memcmp(w.data + w.size - 7, "\3\0\0\0xyz", 7) == 0);
    marshal_free(&w);
}

static void buffer_is_reused(void)
{
    struct message m;
    struct marshal w = {0};
    struct marshal_header header = reply;
    header.signature = SPAN("s");
    marshal_begin(&w, &reply);
    marshal_end(&w);
    const uint8_t *data = w.data;
    marshal_begin(&w, &header);
    marshal_string(&w, SPAN("again"));
    REQUIRE(CHECK(marshal_end(&w)));
    CHECK(w.data == data);
    CHECK_EQUAL(verdict(&w, &m), MESSAGE_OK);
    CHECK_SPAN(m.signature, "s");
    marshal_free(&w);
}

static void buffer_grows(void)
{
    struct message m;
    struct marshal w = {0};
    struct marshal_header header = reply;
    static struct span texts[5000];
    for (size_t i = 0; i < CHECK_COUNT(texts); i++)
        texts[i] = SPAN("org.example.Name");
    header.signature = SPAN("as");
    marshal_begin(&w, &header);
    marshal_string_array(&w, texts, CHECK_COUNT(texts));
    REQUIRE(CHECK(marshal_end(&w)));
    CHECK_EQUAL(verdict(&w, &m), MESSAGE_OK);
    CHECK_EQUAL(m.body_size, 4 + 24 * CHECK_COUNT(texts) - 3);
    marshal_free(&w);
}

/* An error persists until the next message. */
static void failed_message_stays_failed(void)
{
    static char text[300];
    struct marshal w = {0};
    memset(text, 'y', sizeof(text));
    marshal_begin(&w, &reply);
    marshal_signature(&w, (struct span){text, 256});
    CHECK(w.failed);
    marshal_string(&w, SPAN("more"));
    CHECK(!marshal_end(&w));
    marshal_begin(&w, &reply);
    CHECK(marshal_end(&w));
    marshal_free(&w);
}

static void marshalling_without_memory_fails(void)
{
    struct marshal w = {0};
    check_allocations = 0;
    marshal_begin(&w, &reply);
    CHECK(!marshal_end(&w));
    check_allocations = 1;
    marshal_begin(&w, &reply);
    CHECK(!w.failed);
    for (uint32_t i = 0; i < 100; i++)
        marshal_uint64(&w, i);
    CHECK(!marshal_end(&w));
    check_allocations = -1;
    marshal_begin(&w, &reply);
    CHECK(marshal_end(&w));
    marshal_free(&w);
}

static void message_beyond_the_maximum_is_refused(void)
{
    struct marshal w = {0};
    static uint8_t chunk[1 << 20];
    marshal_begin(&w, &reply);
    const size_t array = marshal_array_begin(&w, 1);
    for (uint32_t i = 0; i < 64; i++)
        marshal_raw(&w, chunk, sizeof(chunk));
    marshal_array_end(&w, array, 1);
    CHECK(!w.failed);
    marshal_byte(&w, 0);
    marshal_array_end(&w, array, 1);
    CHECK(w.failed); /* the array is above 64 MiB */
    w.failed = false;
    while (w.size < MESSAGE_MAX_SIZE && !w.failed)
        marshal_raw(&w, chunk,
                    sizeof(chunk) < MESSAGE_MAX_SIZE - w.size ? sizeof(chunk) : MESSAGE_MAX_SIZE - w.size);
    CHECK(!w.failed);
    marshal_byte(&w, 0);
    CHECK(w.failed);
    CHECK_EQUAL(w.size, MESSAGE_MAX_SIZE);
    CHECK(!marshal_end(&w));
    marshal_free(&w);
}

static const struct check_test tests[] = {
    TEST(a_reply_without_body),
    TEST(every_field),
    TEST(every_kind_of_value),
    TEST(buffer_is_reused),
    TEST(buffer_grows),
    TEST(failed_message_stays_failed),
    TEST(marshalling_without_memory_fails),
    TEST(message_beyond_the_maximum_is_refused),
};
CHECK_MAIN(tests)
