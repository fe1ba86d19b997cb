// SPDX-License-Identifier: GPL-2.0
/* unix-multicast-test [-s] [-i] [-l] [PATTERN...]: a line for each test: "ok NAME", "not ok NAME: why", "skip NAME". */

#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>

#include "umc.h"

#define SECONDS	120
#define SKIPPED	77

int socket_type = SOCK_STREAM;

static struct test *first;
static const char *running;

void test_register(struct test *test)
{
	test->next = first;
	first = test;
}

void test_fail(const char *file, int line, const char *format, ...)
{
	va_list arguments;

	printf("not ok %s: %s:%d: ", running, strrchr(file, '/') ? strrchr(file, '/') + 1 : file, line);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

void test_skip(const char *why)
{
	printf("skip %s: %s\n", running, why);
	fflush(stdout);
	_exit(SKIPPED);
}

static int run(struct test *test, const char *type)
{
	char name[128];
	int status;
	pid_t pid;

	snprintf(name, sizeof(name), "%s%s%s", type, *type ? "/" : "", test->name);
	running = name;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		alarm(SECONDS);
		test->run();
		printf("ok %s\n", name);
		fflush(stdout);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	kill(-pid, SIGKILL);
	if (WIFSIGNALED(status))
		printf("not ok %s: killed by signal %d\n", name, WTERMSIG(status));
	return !WIFEXITED(status) || (WEXITSTATUS(status) && WEXITSTATUS(status) != SKIPPED);
}

static bool selected(const struct test *test, char **patterns)
{
	if (!*patterns)
		return true;
	for (; *patterns; patterns++)
		if (strstr(test->name, *patterns))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	bool smoke = false, inject = false, list = false;
	struct test *test, *order = NULL;
	int option, failed = 0;

	while ((option = getopt(argc, argv, "sil")) != -1) {
		switch (option) {
		case 's': smoke = true; break;
		case 'i': inject = true; break;
		case 'l': list = true; break;
		default: return 2;
		}
	}
	while (first) {
		test = first;
		first = test->next;
		test->next = order;
		order = test;
	}
	signal(SIGPIPE, SIG_IGN);
	for (test = order; test; test = test->next) {
		if ((smoke && !(test->flags & SMOKE)) || inject != !!(test->flags & INJECT) ||
		    !selected(test, argv + optind))
			continue;
		if (list) {
			puts(test->name);
			continue;
		}
		socket_type = SOCK_STREAM;
		failed += run(test, test->flags & EACH_TYPE ? "stream" : "");
		if (test->flags & EACH_TYPE) {
			socket_type = SOCK_SEQPACKET;
			failed += run(test, "seqpacket");
		}
	}
	if (!list)
		printf("done, %d failed\n", failed);
	return failed ? 1 : 0;
}
