# SPDX-License-Identifier: MIT
# Included by the Makefile of the project's root.
#   make install-files     all but the program, below $(DESTDIR)$(PREFIX): units, policy,
#                          omnibus-switch, and omnibus-takeover if it was built
#   make uninstall-files   removes them

PREFIX ?= /usr/local
AT = $(DESTDIR)$(PREFIX)
# Below /usr/local the distribution's system.conf looks for none.
POLICY_DIR ?= $(DESTDIR)$(if $(filter /usr,$(PREFIX)),/usr/share,/etc)/dbus-1/system.d
SWITCH_FILES = $(wildcard switch/*.sh)
UNITS = $(wildcard systemd/system/*.service systemd/system/*.socket systemd/user/*.service)

# Units with absolute paths: systemd does not start, and so does not fail, a unit whose program it can't find.
install-files:
	for unit in $(UNITS); do \
	    install -d $(AT)/lib/$${unit%/*} && \
	    sed -e 's|^ExecStart=omnibusd|ExecStart=$(PREFIX)/bin/omnibusd|' \
	        -e 's|^ExecStart=omnibusctl|ExecStart=$(PREFIX)/bin/omnibusctl|' \
	        -e 's|^\(Exec[A-Za-z]*=\)omnibus-fallback|\1$(PREFIX)/libexec/omnibus-fallback|' \
	        $$unit >$(AT)/lib/$$unit || exit; \
	done
	install -Dm644 -t $(AT)/lib/sysusers.d systemd/sysusers/omnibus.conf
	install -Dm644 -t $(AT)/lib/tmpfiles.d systemd/tmpfiles/omnibus.conf
	install -Dm644 -t $(AT)/share/man/man1 ctl/share/omnibusctl.1
	install -Dm644 ctl/share/omnibusctl.bash $(AT)/share/bash-completion/completions/omnibusctl
	install -Dm644 ctl/share/omnibusctl.zsh $(AT)/share/zsh/site-functions/_omnibusctl
	install -Dm644 -t $(AT)/share/fish/vendor_completions.d ctl/share/omnibusctl.fish
	install -Dm644 -t $(POLICY_DIR) systemd/dbus-1/org.omnibus.conf
	install -Dm755 -t $(AT)/libexec switch/omnibus-fallback
	install -Dm755 -t $(AT)/sbin switch/omnibus-switch
	install -Dm644 -t $(AT)/share/omnibus/switch $(SWITCH_FILES)
	install -Dm755 -t $(AT)/share/omnibus/openrc docs/examples/openrc/dbus
	install -Dm755 -t $(AT)/share/omnibus/runit/omnibus $(wildcard docs/examples/runit/omnibus/*)
	install -Dm644 -t $(AT)/share/omnibus/drop-ins $(wildcard systemd/drop-ins/*.conf)
	test ! -e build/takeover/omnibus-takeover || install -Dm755 -t $(AT)/sbin build/takeover/omnibus-takeover

uninstall-files:
	rm -f $(addprefix $(AT)/lib/,$(UNITS) sysusers.d/omnibus.conf tmpfiles.d/omnibus.conf)
	rm -f $(addprefix $(AT)/,libexec/omnibus-fallback sbin/omnibus-switch sbin/omnibus-takeover)
	rm -f $(addprefix $(AT)/share/,man/man1/omnibusctl.1 bash-completion/completions/omnibusctl)
	rm -f $(addprefix $(AT)/share/,zsh/site-functions/_omnibusctl fish/vendor_completions.d/omnibusctl.fish)
	rm -f $(POLICY_DIR)/org.omnibus.conf
	rm -rf $(AT)/share/omnibus

.PHONY: install-files uninstall-files
