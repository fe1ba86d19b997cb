/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_CONTAINER_H
#define FUZZ_CONTAINER_H

#include <sys/un.h>

#define INSTANCE_TEXT 64u

/* A container's server, as the reply to AddServer describes it; "": there is none. */
struct container_server {
    char instance[INSTANCE_TEXT];
    char socket[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

/* Does a client get the header field CONTAINER_INSTANCE? */
enum instance_header { HEADER_NONE, HEADER_REQUESTED, HEADER_PRESENT };

#endif
