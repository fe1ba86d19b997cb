# SPDX-License-Identifier: MIT
# Included by the Makefile of the project's root.
#   make link-test    docs/using/link.md on a booted machine with a container; root only

# In its own mount namespace, so that no mount outlives it.
link-test: all
	.ci/packages debootstrap systemd-container
	unshare --mount $(BIN)/pytest -q tests/link_page

.PHONY: link-test
