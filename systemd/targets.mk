# SPDX-License-Identifier: MIT
# Included by the Makefile of the project's root.
#   make wheels          dist/: a wheel of omnibus, and those of everything it needs at run time
#   make install-units   units, sysusers.d, tmpfiles.d and the fallback below $(DESTDIR)$(PREFIX)
#   make systemd-test    boot systemd with omnibus in a container over this machine's root file system; root only;
#                        TESTS=path some of its tests

PREFIX ?= /usr/local

wheels: $(BUILT)
	rm -rf dist
	$(BIN)/pip wheel -q --disable-pip-version-check --no-build-isolation --wheel-dir=dist .

# With absolute paths: systemd does not start, and so does not fail, a unit whose program it can't find.
install-units:
	for unit in $(wildcard systemd/system/*.service systemd/user/*.service); do \
	    install -d $(DESTDIR)$(PREFIX)/lib/$${unit%/*} && \
	    sed -e 's|^ExecStart=omnibusd|ExecStart=$(PREFIX)/bin/omnibusd|' \
	        -e 's|^ExecStart=omnibus-fallback|ExecStart=$(PREFIX)/libexec/omnibus-fallback|' \
	        $$unit >$(DESTDIR)$(PREFIX)/lib/$$unit || exit; \
	done
	install -Dm755 -t $(DESTDIR)$(PREFIX)/libexec switch/omnibus-fallback
	install -Dm644 -t $(DESTDIR)$(PREFIX)/lib/sysusers.d systemd/sysusers/omnibus.conf
	install -Dm644 -t $(DESTDIR)$(PREFIX)/lib/tmpfiles.d systemd/tmpfiles/omnibus.conf

# In its own mount namespace, so that no mount outlives it.
systemd-test: wheels
	.ci/packages systemd systemd-container libpam-systemd polkitd dbus dbus-bin dbus-tests dbus-user-session
	unshare --mount $(BIN)/pytest -q $(or $(TESTS),tests/systemd_boot)

.PHONY: wheels install-units systemd-test
