# SPDX-License-Identifier: MIT
# Included by the Makefile of the project's root.
#   make ctl-share   the manual page and the completions of omnibusctl in ctl/share, after a change of its command line
#   make check-debian   omnibusctl check over the packages of Debian 12 and 13 that ship policies or service files, some
#                       400 MB a release, of which few are on the disk at a time; RELEASES=trixie PACKAGES="bluez upower"
#   make desktop-graph  the picture in the README, of a recorded log-in that is replayed; TRACE=kde-ref-session

ctl-share: all
	mkdir -p ctl/share
	$(BIN)/omnibusctl _manual >ctl/share/omnibusctl.1
	for shell in bash zsh fish; do $(BIN)/omnibusctl _completion $$shell >ctl/share/omnibusctl.$$shell || exit; done

RELEASES ?= bookworm trixie

check-debian: all
	for release in $(RELEASES); do echo "$$release:"; $(BIN)/python tests/ctl/debian.py $$release $(PACKAGES) || exit; done

desktop-graph: all
	.ci/packages graphviz
	$(MAKE) -s -C bench
	$(BIN)/python tests/ctl/desktop_graph.py $(or $(TRACE),xfce-ref-session) >docs/using/desktop.svg

.PHONY: ctl-share check-debian desktop-graph
