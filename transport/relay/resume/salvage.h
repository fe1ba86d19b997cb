/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_SALVAGE_H
#define OMNIBUS_SALVAGE_H

#include "resume/resume.h"

/*
 * The state of a bus whose process is dead, from its tables in the shared heap: everything as it was, and
 * what was under way completed. Only for the standby, which owns the tables by then.
 *
 * - What a system call has moved is in state/under_way.h, so it is neither lost nor done twice. Messages that
 *   were routed and not written are put in their receivers' queues, input that was read and not routed into
 *   its sender's tail.
 * - One message may be routed in part, the one in whose middle the process ended. It is not routed again; if
 *   it is a call, or the reply to one, the caller gets NoReply.
 * - Connections that were lost, and whose loss is not settled, are written as if they were there, with their
 *   socket shut down: the next bus finds that out, and settles it as for every other.
 * - The tables may have been left in the middle of a change. Lists and tables are only followed forwards, in
 *   which direction every change is made by one store. Whatever is wrong nevertheless makes the next bus
 *   refuse the state, which it checks as hostile input, or ends the standby.
 * - After a crash by a fault of the bus (a signal that it raised itself) the connection whose message was
 *   being handled is noted; twice within CRASH_PEER_TIME, and it is shut down. With CRASHES_TOO_MANY in
 *   CRASHES_TIME the state is written without connections. A bus that was killed is not at fault.
 */

#define CRASH_PEER_TIME 10000 /* milliseconds */
#define CRASHES_TIME 60000
#define CRASHES_TOO_MANY 3u

/* Writes the state to a file, with sections of the control plane. 0 or a negative errno. */
int salvage(struct bus *bus, int fd, const uint8_t *sections, size_t size, struct dump_result *result);

#endif
