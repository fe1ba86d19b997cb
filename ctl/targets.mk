# SPDX-License-Identifier: MIT
# Included by the Makefile of the project's root.
#   make ctl-share   the manual page and the completions of omnibusctl in ctl/share, after a change of its command line
#   make check-debian   omnibusctl check over some packages of this release of Debian; PACKAGES="bluez upower": those

ctl-share: all
	mkdir -p ctl/share
	$(BIN)/omnibusctl _manual >ctl/share/omnibusctl.1
	for shell in bash zsh fish; do $(BIN)/omnibusctl _completion $$shell >ctl/share/omnibusctl.$$shell || exit; done

check-debian: all
	$(BIN)/python tests/ctl/debian.py $(PACKAGES)

.PHONY: ctl-share check-debian
