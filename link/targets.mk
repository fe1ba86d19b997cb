# SPDX-License-Identifier: MIT
# Included by the Makefile of the project's root.
#   make link-test            docs/using/link.md on a booted machine with a container; root only
#   make link-network-test    three hosts: cables that are pulled, impostors, floods, order; root only
#   make link-table           what a link does between three hosts, and what it costs, as tables; root only
#   make link-soak            an hour and ten million messages (SOAK_FLAGS=--seconds=60); root only

# In its own mount namespace, so that no mount outlives it.
link-test: all
	.ci/packages debootstrap systemd-container
	unshare --mount $(BIN)/pytest -q tests/link_page

link-network-test: all test-packages
	$(BIN)/pytest -q tests/link/test_hosts.py $(addprefix tests/link/network/test_,cable.py impostors.py order.py)

link-table: all test-packages
	$(BIN)/pytest -q -s tests/link/network/test_table.py
	$(MAKE) -s bench-link

link-soak: all
	$(MAKE) -s -C bench
	$(BIN)/python -m omnibus.bench.link_soak $(SOAK_FLAGS)

.PHONY: link-test link-network-test link-table link-soak
