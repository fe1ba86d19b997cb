// SPDX-License-Identifier: GPL-2.0
/* The same over a D-Bus message bus: the minimum of SASL, Hello and marshalling. */

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define METHOD_CALL	1
#define SIGNAL		4
#define NO_REPLY	1

const char *bus_path;
static struct { char name[MANY][32]; } *names;	/* unique names, shared */

struct writer {
	uint8_t *bytes;
	size_t at;
};

static void pad(struct writer *w, size_t to)
{
	while (w->at % to)
		w->bytes[w->at++] = 0;
}

static void put_u32(struct writer *w, uint32_t value)
{
	pad(w, 4);
	memcpy(w->bytes + w->at, &value, 4);
	w->at += 4;
}

static void put_string(struct writer *w, const char *text)
{
	put_u32(w, strlen(text));
	memcpy(w->bytes + w->at, text, strlen(text) + 1);
	w->at += strlen(text) + 1;
}

static void put_field(struct writer *w, uint8_t code, char type, const char *text)
{
	pad(w, 8);
	memcpy(w->bytes + w->at, (uint8_t[]){ code, 1, type, 0 }, 4);
	w->at += 4;
	if (type == 'g') {
		w->bytes[w->at++] = strlen(text);
		memcpy(w->bytes + w->at, text, strlen(text) + 1);
		w->at += strlen(text) + 1;
	} else {
		put_string(w, text);
	}
}

/* Returns the message's length; with a string argument if @argument. */
static size_t message(uint8_t *buffer, uint8_t type, uint8_t flags, uint32_t serial, const char *destination,
		      const char *path, const char *interface, const char *member, const char *argument)
{
	struct writer w = { buffer, 4 };
	size_t body;
	uint32_t length;

	memcpy(buffer, (uint8_t[]){ 'l', type, flags, 1 }, 4);
	put_u32(&w, 0);
	put_u32(&w, serial);
	put_u32(&w, 0);
	put_field(&w, 1, 'o', path);
	put_field(&w, 2, 's', interface);
	put_field(&w, 3, 's', member);
	if (destination)
		put_field(&w, 6, 's', destination);
	if (argument)
		put_field(&w, 8, 'g', "s");
	length = w.at - 16;
	memcpy(buffer + 12, &length, 4);
	pad(&w, 8);
	body = w.at;
	if (argument)
		put_string(&w, argument);
	length = w.at - body;
	memcpy(buffer + 4, &length, 4);
	return w.at;
}

static size_t make(void *buffer, int from, int to, uint32_t sequence)
{
	(void)from;
	return message(buffer, SIGNAL, NO_REPLY, sequence + 1, to == ALL ? NULL : names->name[to], "/b", "b.B", "M",
		       "about as long as the others");
}

static size_t total(const uint8_t *header)
{
	uint32_t body, fields;

	memcpy(&body, header + 4, 4);
	memcpy(&fields, header + 12, 4);
	return 16 + ((fields + 7) & ~7u) + body;
}

static size_t read_message(int fd, uint8_t *buffer)
{
	size_t length;

	if (recv(fd, buffer, 16, MSG_WAITALL) != 16)
		DIE("the bus hung up");
	length = total(buffer);
	if (recv(fd, buffer + 16, length - 16, MSG_WAITALL) != (ssize_t)length - 16)
		DIE("the bus hung up");
	return length;
}

static void authenticate(int fd)
{
	char hex[64] = "", uid[16], line[256];
	size_t got = 0;

	snprintf(uid, sizeof(uid), "%d", getuid());
	for (char *c = uid; *c; c++)
		sprintf(hex + strlen(hex), "%02x", *c);
	snprintf(line, sizeof(line), "%cAUTH EXTERNAL %s\r\n", '\n', hex);
	line[0] = 0;
	if (write(fd, line, strlen(line + 1) + 1) < 0)
		DIE("write");
	while (!got || line[got - 1] != '\n')
		if (read(fd, line + got++, 1) != 1)
			DIE("authentication");
	if (strncmp(line, "OK ", 3) || write(fd, "BEGIN\r\n", 7) != 7)
		DIE("authentication");
}

static void call_driver(int fd, uint32_t serial, const char *member, const char *argument, uint8_t *reply)
{
	size_t n = message(reply, METHOD_CALL, 0, serial, "org.freedesktop.DBus", "/org/freedesktop/DBus",
			   "org.freedesktop.DBus", member, argument);

	if (write(fd, reply, n) != (ssize_t)n)
		DIE("write");
	do
		read_message(fd, reply);
	while (reply[1] != 2);
}

static int open_bus(int client)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	uint8_t buffer[1024];
	uint32_t length, body;

	strcpy(address.sun_path, bus_path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		DIE("connect");
	authenticate(fd);
	call_driver(fd, 1, "Hello", NULL, buffer);
	memcpy(&body, buffer + 4, 4);
	length = total(buffer) - body;
	strcpy(names->name[client], (char *)buffer + length + 4);
	call_driver(fd, 2, "AddMatch", client ? "type='signal',interface='b.B'" : "type='signal',interface='b.C'",
		    buffer);
	/* NameAcquired, and anything else that came. */
	while (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
		;
	return fd;
}

static pid_t start(int clients)
{
	(void)clients;
	if (!names)
		names = (void *)(shared + 1);
	return 0;
}

static void stop(pid_t daemon)
{
	(void)daemon;
}

const struct contender bus = { "bus", make, total, start, open_bus, stop, false, false };
