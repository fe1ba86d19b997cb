/* SPDX-License-Identifier: MIT */
#include "handshake.h"

/*
 * %s is the identity in hexadecimal digits. lines counts those of the bus until binary messages begin, with
 * NEGOTIATE_UNIX_FD. The data plane handles the first two by itself; the others go to the control plane.
 */
static const struct {
    const char *text;
    uint32_t lines;
    bool fds;
} ways[HANDSHAKES] = {
    {"AUTH EXTERNAL %s\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n", 2, true},
    {"AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n", 3, true},
    {"AUTH EXTERNAL %s\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n", 2, true},
    {"AUTH EXTERNAL %s\r\nBEGIN\r\n", 1, false},
    {"AUTH\r\nAUTH EXTERNAL %s\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n", 3, true},
    {"NONSENSE\r\nAUTH EXTERNAL %s\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n", 3, true},
    {"AUTH EXTERNAL 7a7a\r\nAUTH EXTERNAL %s\r\nCANCEL\r\nAUTH EXTERNAL %s\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n",
     5, true},
    {"AUTH ANONYMOUS\r\nAUTH EXTERNAL %s\r\nBEGIN\r\n", 2, false},
};

static void hex_of(uint32_t uid, char hex[32])
{
    char decimal[16];
    int n = snprintf(decimal, sizeof(decimal), "%u", uid);
    for (int i = 0; i < n; i++)
        snprintf(hex + 2 * i, 3, "%02x", (unsigned)decimal[i]);
}

static size_t handshake_text(uint32_t way, uint32_t uid, char *text, size_t size)
{
    char hex[32];
    hex_of(uid, hex);
    text[0] = 0;
    return 1 + (size_t)snprintf(text + 1, size - 1, ways[way].text, hex, hex);
}

static void hello(struct bytes *to, uint32_t serial)
{
    struct message message = {.type = WIRE_CALL,
                              .serial = serial,
                              .text = {[WIRE_PATH] = "/org/freedesktop/DBus",
                                       [WIRE_INTERFACE] = "org.freedesktop.DBus",
                                       [WIRE_MEMBER] = "Hello",
                                       [WIRE_DESTINATION] = "org.freedesktop.DBus"}};
    wire_put_header(to, &message, 0);
}

void handshake_send(struct client *c, uint32_t way, size_t most)
{
    char text[512];
    size_t n = handshake_text(way, c->uid, text, sizeof(text));
    c->way = way;
    c->lines = ways[way].lines;
    c->fd_passing = ways[way].fds;
    client_send_raw(c, text, n < most ? n : most);
    if (n >= most)
        return;
    struct bytes bytes = {0};
    struct record *record = records_add(&c->planned);
    record->type = WIRE_CALL;
    record->to = TO_DRIVER;
    record->order = ++c->order;
    record->expected = 1;
    hello(&bytes, c->planned.n);
    client_send(c, bytes.data, bytes.size, NULL, 0, c->planned.n, 0);
    bytes_free(&bytes);
}

void handshake_bytes(uint32_t uid, struct bytes *to)
{
    char text[512];
    bytes_add(to, text, handshake_text(0, uid, text, sizeof(text)));
    hello(to, 1);
}
