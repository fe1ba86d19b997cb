/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_FUZZ_INPUT_H
#define OMNIBUS_FUZZ_INPUT_H

/* Reads inputs: bytes that choose among words, so that a changed byte is another word. */

#include "../../transport/relay/policy/policy_internal.h"
#include "../../transport/relay/wire/message.h"
#include "fuzz_epoll.h"
#include "fuzz_sockets.h"
#include "policy_draft.h"

struct input {
    const uint8_t *at, *end;
};

static inline uint8_t input_byte(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

static inline bool input_empty(const struct input *in)
{
    return in->at == in->end;
}

/* A length, followed by that many bytes. */
static inline struct span input_text(struct input *in)
{
    uint32_t n = input_byte(in), left = (uint32_t)(in->end - in->at);
    struct span text = {(const char *)in->at, n < left ? n : left};
    in->at += text.n;
    return text;
}

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof(*(array))))
#define CHOOSE(words, in) ((words)[input_byte(in) % COUNT(words)])

#define WORD_LONG                                                                                            \
    "a.bcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvw" \
    "xyzabcdefghijklmnopqrstuvwxyz"

/* The first WORDS_OWNED are names that the fake control plane has queues for. */
#define WORDS_OWNED 6u
static const char *const word_names[] = {
    "a.b",  "a.b.c", "c.d",   "i.f",     WORD_LONG, "a.c",   "org.freedesktop.DBus",  ":1.0", ":1.1", ":1.2",
    ":1.3", ":1.4",  ":1.99", ":1.0x05", ":1.0123", ":1.x1", "org.freedesktop.DBus1", NULL};
static const char *const word_interfaces[] = {"org.freedesktop.DBus", "org.freedesktop.DBus.Peer", "i.f",
                                              "a.b", NULL};
static const char *const word_members[] = {"Hello",
                                           "AddMatch",
                                           "RemoveMatch",
                                           "GetNameOwner",
                                           "NameHasOwner",
                                           "RequestName",
                                           "ReleaseName",
                                           "ListNames",
                                           "GetId",
                                           "GetConnectionUnixUser",
                                           "GetConnectionUnixProcessID",
                                           "GetConnectionCredentials",
                                           "SetMetadata",
                                           "GetMetadata",
                                           "Ping",
                                           "BecomeMonitor",
                                           "ReloadConfig",
                                           "ActivationFailure",
                                           "M",
                                           "StartServiceByName",
                                           "ListActivatableNames"};
static const char *const word_paths[] = {"/", "/a", "/a/b", "/org/freedesktop/DBus"};
/* Of services; the control plane reads those whose bits are set. */
static const char *const word_directories[] = {"/s", "/t", "/t/../s/./t", "//t//x/", "/s/t/a.b.service", "s"};
static const char *const word_targets[] = {"/s", "..", "../t/x", "/s/x", "x", "/", "/s/t/./../a.b.service",
                                           "/y"};
static const char *const word_errors[] = {"e.r", "a.b.c"};
static const char *const word_rules[] = {"",
                                         "type='signal'",
                                         "eavesdrop=true",
                                         "type='method_call',eavesdrop=true",
                                         "sender=':1.0'",
                                         "sender=':1.1',member='M'",
                                         "sender='a.b'",
                                         "sender='org.freedesktop.DBus'",
                                         "interface='i.f'",
                                         "member='M',path='/a'",
                                         "path_namespace='/a'",
                                         "path_namespace='/'",
                                         "destination=':1.1',eavesdrop=true",
                                         "destination='a.b',eavesdrop=true",
                                         "arg0='a.b'",
                                         "arg0path='/a/'",
                                         "arg0path='/a/b'",
                                         "arg0namespace='a.b'",
                                         "arg1='a.b',arg63='x'",
                                         "type='error'",
                                         "nonsense",
                                         "type='\n\"\\'"};
static const int64_t word_limits[] = {0, 1, 2, 3, 5, 16, 200, 1000, 5000, 30000, 1 << 20, 100000000};
static const int64_t word_times[] = {1, 20, 100, 500, 1000, 2000, 30000, 150000};
static const int word_failures[] = {EINTR,   ENOMEM,       ECONNRESET, EMFILE, EPIPE,
                                    ENOBUFS, ETOOMANYREFS, EPERM,      EAGAIN, ECONNABORTED};
static const char *const word_lines[] = {"",
                                         "AUTH EXTERNAL 31303030\r\n",
                                         "AUTH EXTERNAL\r\n",
                                         "DATA\r\n",
                                         "DATA 31303030\r\n",
                                         "NEGOTIATE_UNIX_FD\r\n",
                                         "BEGIN\r\n",
                                         "AUTH EXTERNAL 30\r\n",
                                         "AUTH\r\n",
                                         "AUTH EXTERNAL 31303030\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"};

static const struct rule_draft word_policies[] = {
    {.kind = POLICY_SEND, .allow = true, .principal = POLICY_ANY, .flags = POLICY_REQUESTED_REPLY},
    {.kind = POLICY_RECEIVE,
     .allow = true,
     .principal = POLICY_ANY,
     .flags = POLICY_REQUESTED_REPLY | POLICY_EAVESDROP},
    {.kind = POLICY_OWN, .allow = true, .principal = POLICY_ANY},
    {.kind = POLICY_SEND,
     .destination = "a.b",
     .principal = POLICY_ANY,
     .flags = POLICY_LOG,
     .file = "f.conf",
     .line = 7},
    {.kind = POLICY_SEND, .interface = "i.f", .principal = POLICY_ANY},
    {.kind = POLICY_SEND, .allow = true, .destination = "c.d", .principal = POLICY_ANY, .flags = POLICY_LOG},
    {.kind = POLICY_RECEIVE, .destination = "a.b", .principal = POLICY_ANY},
    {.kind = POLICY_OWN, .destination = "a.b", .principal = POLICY_ANY, .flags = POLICY_PREFIX},
    {.kind = POLICY_SEND, .context = POLICY_USER, .principal = 1000, .member = "M"},
    {.kind = POLICY_SEND, .allow = true, .context = POLICY_GROUP, .principal = 7, .type = MESSAGE_SIGNAL},
    {.kind = POLICY_RECEIVE, .context = POLICY_AT_CONSOLE, .principal = POLICY_ANY, .type = MESSAGE_SIGNAL},
    {.kind = POLICY_RECEIVE, .context = POLICY_NO_CONSOLE, .principal = POLICY_ANY, .interface = "i.f"},
    {.kind = POLICY_CONNECT_USER, .allow = true, .principal = POLICY_ANY},
    {.kind = POLICY_CONNECT_GROUP, .principal = 7},
    {.kind = POLICY_SEND, .context = POLICY_MANDATORY, .principal = POLICY_ANY, .member = "Ping"},
    {.kind = POLICY_SEND, .principal = POLICY_ANY, .flags = POLICY_BROADCAST | POLICY_LOG},
};
_Static_assert(COUNT(word_policies) == 16, "two bytes choose");

#endif
