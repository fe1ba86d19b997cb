# SPDX-License-Identifier: MIT
# Included by the Makefile of the project's root.
#   make wheels          dist/: a wheel of omnibus, and those of everything it needs at run time
#   make systemd-test    boot systemd with omnibus in a container over this machine's root file system; root only;
#                        TESTS=path some of its tests; SUITE=trixie over the root file system of that suite

wheels: build/builder/bin/python
	rm -rf dist
	build/builder/bin/pip wheel -q --disable-pip-version-check --no-build-isolation --wheel-dir=dist .

# In its own mount namespace, so that no mount outlives it.
systemd-test: wheels takeover
	.ci/packages systemd systemd-container libpam-systemd polkitd dbus dbus-bin dbus-tests dbus-user-session
	$(if $(SUITE),.ci/packages debootstrap)
	root=$(if $(SUITE),$$($(BIN)/python tests/systemd_boot/suite.py $(SUITE) | tail -n1),/) && \
	    BOOT_ROOT=$$root unshare --mount $(BIN)/pytest -q $(or $(TESTS),tests/systemd_boot)

.PHONY: wheels systemd-test
