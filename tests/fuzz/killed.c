/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "killed.h"

#include "handshake.h"

#include <grp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Its messages after Hello: requests for a name and a rule, calls and signals to others. */
static void say(struct bytes *to, uint32_t serial, struct message *message)
{
    static const char *const members[3] = {"RequestName", "AddMatch", "GetNameOwner"};
    struct bytes body = {0}, header = {0};
    struct topic topic;
    topic_of(serial % TOPICS, &topic);
    *message = (struct message){.type = serial % 5 ? WIRE_SIGNAL : WIRE_CALL, .serial = serial};
    message->text[WIRE_PATH] = topic.path;
    message->text[WIRE_INTERFACE] = KILLED;
    message->text[WIRE_MEMBER] = topic.member;
    if (serial < 5) {
        message->type = WIRE_CALL;
        message->text[WIRE_INTERFACE] = message->text[WIRE_DESTINATION] = "org.freedesktop.DBus";
        message->text[WIRE_MEMBER] = members[serial - 2];
        message->text[WIRE_SIGNATURE] = serial == 2 ? "su" : "s";
        wire_put_string(&body, false, serial == 3 ? "type='signal'" : "fuzz.killed.n");
        if (serial == 2)
            wire_put_u32(&body, false, 0);
    } else if (serial % 5 == 0) {
        message->text[WIRE_DESTINATION] = "fuzz.shared.n1";
    }
    message->n_fds = serial % 7 == 6 ? 2 : 0;
    wire_put_header(&header, message, (uint32_t)body.size);
    bytes_add(to, header.data, header.size);
    bytes_add(to, body.data, body.size);
    bytes_free(&header);
    bytes_free(&body);
}

static void send_part(int fd, const uint8_t *data, size_t n, uint32_t n_fds)
{
    char control[CMSG_SPACE(2 * sizeof(int))] = {0};
    struct iovec iov = {(void *)data, n};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n_fds == 2) {
        const int fds[2] = {memfd_create("killed", MFD_CLOEXEC), memfd_create("killed", MFD_CLOEXEC)};
        header.msg_control = control;
        header.msg_controllen = sizeof(control);
        struct cmsghdr *m = CMSG_FIRSTHDR(&header);
        m->cmsg_level = SOL_SOCKET;
        m->cmsg_type = SCM_RIGHTS;
        m->cmsg_len = CMSG_LEN(sizeof(fds));
        memcpy(CMSG_DATA(m), fds, sizeof(fds));
    }
    if (n > 0)
        sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Sends message by message, so that descriptors go with their first byte; the last one is truncated. */
static void live(int fd, uint32_t uid, uint32_t messages, uint32_t per_mille)
{
    struct bytes bytes = {0};
    handshake_bytes(uid, &bytes);
    if (messages == 0)
        bytes.size = 1 + bytes.size * per_mille / 1000;
    send_part(fd, bytes.data, bytes.size, 0);
    for (uint32_t i = 0; i < messages; i++) {
        struct message message;
        bytes.size = 0;
        say(&bytes, i + 2, &message);
        size_t n = i + 1 < messages ? bytes.size : 1 + (bytes.size - 1) * per_mille / 1000;
        send_part(fd, bytes.data, n, message.n_fds);
    }
}

static void child(const struct world *w, uint32_t uid, uint32_t messages, uint32_t per_mille)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", w->settings.path);
    close_range(3, ~0u, 0);
    if (geteuid() == 0 && uid != 0 &&
        (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0))
        _exit(1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        live(fd, uid, messages, per_mille);
    raise(SIGKILL);
}

void killed_client(struct world *w, uint32_t uid, uint32_t messages, uint32_t cut_per_mille)
{
    plan_note(w, uid, messages, cut_per_mille);
    pid_t pid = fork();
    if (pid < 0)
        fail(w, "no process");
    if (pid == 0)
        child(w, uid, messages, cut_per_mille);
    waitpid(pid, NULL, 0);
    reached[REACHED_KILLED]++;
}
