# SPDX-License-Identifier: MIT
# Included by the Makefile of the project's root.
#   make takeover          build/takeover/omnibus-takeover, which turns a running dbus-daemon into omnibusd
#   make takeover-test     its tests with 20 takeovers under load; TAKEOVERS=20

TAKEOVERS ?= 20

C_FILES += $(wildcard takeover/*.[ch] tests/takeover/*.[ch])

takeover:
	.ci/packages gcc
	$(MAKE) -s -C takeover CC=gcc

takeover-test: all test-packages
	TAKEOVERS=$(TAKEOVERS) $(BIN)/pytest -q -s $(or $(TESTS),tests/takeover)

# ptrace(2) takes addresses of another process as pointers.
tidy: tidy-takeover
tidy-takeover:
	printf '%s\n' takeover/*.c tests/takeover/*.c | xargs -P$(JOBS) -n8 sh -c \
	    'clang-tidy --quiet --checks=-performance-no-int-to-ptr "$$@" -- \
	    -std=gnu11 -Itakeover -Itransport/relay -Itests/relay 2>/dev/null' -

.PHONY: takeover tidy-takeover takeover-test
