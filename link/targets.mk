# SPDX-License-Identifier: MIT
# Included by the Makefile of the project's root.
#   make link-test            docs/using/link.md on a booted machine with a container; root only
#   make link-network-test    three hosts: cables that are pulled, impostors, floods; a minute, root only

# In its own mount namespace, so that no mount outlives it.
link-test: all
	.ci/packages debootstrap systemd-container
	unshare --mount $(BIN)/pytest -q tests/link_page

link-network-test: all
	.ci/packages iproute2 openssl
	$(BIN)/pytest -q tests/link/network tests/link/test_hosts.py

.PHONY: link-test link-network-test
