// SPDX-License-Identifier: GPL-2.0
/* Only a connection accepted from the group owner's listener becomes a member. */

#include "umc.h"

static int add(struct bus *bus, int listener, int accepted)
{
	struct umc_add call = { .listener_fd = listener, .accepted_fd = accepted, .index = 9 };

	return ioctl(bus->group, UMC_ADD, &call);
}

TEST(socketpair_and_bind_attack, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(1);
	struct sockaddr_un any = { .sun_family = AF_UNIX };
	int pair[2];

	CHECK(!socketpair(AF_UNIX, socket_type, 0, pair));
	FAILS(add(bus, bus->listener, pair[0]), EPERM);
	/* bind() on one end of a connected pair succeeds; it must not help. */
	CHECK(!bind(pair[0], (struct sockaddr *)&any, sizeof(sa_family_t)));
	FAILS(add(bus, bus->listener, pair[0]), EPERM);
	FAILS(add(bus, pair[0], pair[0]), EPERM);
	FAILS(add(bus, pair[0], pair[1]), EPERM);
	bus_free(bus);
}

TEST(own_connection_to_another_server, EACH_TYPE)
{
	struct bus *bus = bus_new(1), *victim = bus_new(1);

	/* The client's end of a connection to the victim: its peer would be the victim. */
	FAILS(add(bus, bus->listener, victim->client[0].fd), EPERM);
	FAILS(add(bus, victim->listener, victim->client[0].fd), EPERM);
	FAILS(add(bus, bus->listener, victim->client[0].daemon), EPERM);
	bus_free(bus);
	bus_free(victim);
}

TEST(passcred_client_is_bound_automatically, EACH_TYPE)
{
	struct bus *bus = bus_new(1);
	struct client client;

	/* SO_PASSCRED before connect binds the client: it has an address of its own. */
	client.fd = socket(AF_UNIX, socket_type, 0);
	CHECK(!setsockopt(client.fd, SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, sizeof(int)));
	CHECK(!connect(client.fd, (struct sockaddr *)&bus->address, bus->address_length));
	client.daemon = accept(bus->listener, NULL, NULL);
	FAILS(add(bus, bus->listener, client.fd), EPERM);
	CHECK(!add(bus, bus->listener, client.daemon));
	client_close(&client);
	bus_free(bus);
}

TEST(sockets_other_than_listener_and_connection_are_refused, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(1);
	int dgram = socket(AF_UNIX, SOCK_DGRAM, 0), inet = socket(AF_INET, SOCK_STREAM, 0);

	FAILS(add(bus, bus->client[0].daemon, bus->client[0].daemon), EPERM);
	FAILS(add(bus, bus->listener, bus->listener), ENOTCONN);
	FAILS(add(bus, bus->listener, dgram), EINVAL);
	if (inet >= 0)
		FAILS(add(bus, inet, bus->client[0].daemon), EINVAL);
	FAILS(add(bus, bus->device, bus->client[0].daemon), ENOTSOCK);
	FAILS(add(bus, bus->listener, 999), EBADF);
	close(dgram);
	close(inet);
	bus_free(bus);
}

TEST(connection_of_a_departed_client_is_refused, EACH_TYPE)
{
	struct bus *bus = bus_new(1);
	struct client client;

	client_connect(bus, &client);
	close(client.fd);
	CHECK(add(bus, bus->listener, client.daemon) == -1);
	CHECK(errno == ENOTCONN || errno == EPIPE);
	close(client.daemon);
	bus_free(bus);
}
