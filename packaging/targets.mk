# SPDX-License-Identifier: MIT
# Included by the Makefile of the project's root.
#   make install           everything below $(DESTDIR)$(PREFIX), for the Python that builds it
#                          WITH_LINK=yes: with the libraries of omnibus-link, from the index
#   make install-files     all but the program: units, policy, manual pages, omnibus-switch, and
#                          omnibus-takeover if it was built
#   make install-module    the sources of the kernel module, for dkms
#   make uninstall, make uninstall-files
#   make deb               build/deb/SUITE: Debian packages, each suite's in a root of its own; root only;
#                          SUITES="bookworm sid": those only; TWICE=yes: built twice and compared
#   make deb-test          installs them on booted machines, switches, upgrades, removes; root only
#   make docs              build/site: the documentation as a site, with every link checked
#   make rpm, make arch    the packages of Fedora and of Arch Linux, as far as Debian's tools can try the recipes
#   make index             build/release: the source distribution and the wheels, built and tried in roots; root only
#   make release           everything that a release consists of, after a check of what it needs; root only

PREFIX ?= /usr/local
AT = $(DESTDIR)$(PREFIX)
SUITES ?= bookworm trixie sid

# The interpreter that builds, and how a foreign module that it uses gets into the installation: a copy of it, or, where
# a package is responsible for it, a link.
BUILDER ?= build/builder/bin/python
BACKEND ?= cp
PROGRAM = build/program
HOME_OF = $(shell $(BUILDER) -c 'import os, sys; print(os.path.realpath(sys.executable))')
SITE = $(AT)/lib/omnibus/lib/$(notdir $(HOME_OF))/site-packages

# What the build needs, and nothing of what tests need.
build/builder/bin/python: pyproject.toml
	.ci/packages python3-venv python3-dev gcc
	$(PYTHON) -m venv build/builder
	build/builder/bin/pip install -q --disable-pip-version-check 'setuptools>=77,<90' 'wheel>=0.40,<1' 'cffi>=1.16,<3'
	touch $@

# The extra "link" of pyproject.toml.
LINK_LIBRARIES = import subprocess, sys, tomllib; \
    extras = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]; \
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", sys.argv[1]]; \
    subprocess.run(pip + extras["link"], check=True)

program: $(filter build/builder/bin/python,$(BUILDER))
	$(BUILDER) setup.py -q build --build-base=$(PROGRAM) --build-lib=$(PROGRAM)/lib --build-scripts=$(PROGRAM)/bin

# A virtual environment without pip. Only what belongs to omnibus is in it, so that no other package of the machine's
# Python can take the place of a module.
install-program:
	rm -rf $(AT)/lib/omnibus
	install -d $(AT)/bin $(AT)/libexec $(AT)/lib/omnibus/bin $(SITE)
	cp -R $(PROGRAM)/lib/omnibus $(SITE)/
	mv $(SITE)/omnibus/daemon/launch/omnibus-daemon-launch-helper $(AT)/libexec/
	find $(SITE) -name '*.pyi' -delete
	rm $(SITE)/omnibus/py.typed
	$(BACKEND) $$($(BUILDER) -c 'import _cffi_backend; print(_cffi_backend.__file__)') $(SITE)/
	$(if $(WITH_LINK),$(BUILDER) -c '$(LINK_LIBRARIES)' $(SITE))
	printf 'home = %s\ninclude-system-site-packages = false\n' $(patsubst %/,%,$(dir $(HOME_OF))) >$(AT)/lib/omnibus/pyvenv.cfg
	ln -s $(HOME_OF) $(AT)/lib/omnibus/bin/python3
	install -m755 -t $(AT)/lib/omnibus/bin $(PROGRAM)/bin/*
	for program in $(PROGRAM)/bin/*; do ln -sfn ../lib/omnibus/bin/$${program##*/} $(AT)/bin/ || exit; done
	$(HOME_OF) -I -m compileall -q $(if $(DESTDIR),-s $(DESTDIR)) $(SITE)

# Below /usr/local the distribution's system.conf looks for none.
POLICY_DIR ?= $(DESTDIR)$(if $(filter /usr,$(PREFIX)),/usr/share,/etc)/dbus-1/system.d

PAGES = $(wildcard docs/man/*.[1-9]) ctl/share/omnibusctl.1 kernel/unix_multicast.7
UNITS = $(wildcard systemd/system/*.service systemd/system/*.socket systemd/user/*.service)

# Units with absolute paths: systemd does not start, and so does not fail, a unit whose program it can't find.
install-files:
	for unit in $(UNITS); do \
	    install -d $(AT)/lib/$${unit%/*} && \
	    sed -e 's|^ExecStart=omnibusd|ExecStart=$(PREFIX)/bin/omnibusd|' \
	        -e 's|^ExecStart=omnibusctl|ExecStart=$(PREFIX)/bin/omnibusctl|' \
	        -e 's|^ExecStart=omnibus-link|ExecStart=$(PREFIX)/bin/omnibus-link|' \
	        -e 's|^\(Exec[A-Za-z]*=+\{0,1\}\)omnibus-fallback|\1$(PREFIX)/libexec/omnibus-fallback|' \
	        $$unit >$(AT)/lib/$$unit || exit; \
	done
	install -Dm644 -t $(AT)/lib/tmpfiles.d systemd/tmpfiles/omnibus.conf
	install -Dm644 ctl/share/omnibusctl.bash $(AT)/share/bash-completion/completions/omnibusctl
	install -Dm644 ctl/share/omnibusctl.zsh $(AT)/share/zsh/site-functions/_omnibusctl
	install -Dm644 -t $(AT)/share/fish/vendor_completions.d ctl/share/omnibusctl.fish
	install -Dm644 -t $(POLICY_DIR) systemd/dbus-1/org.omnibus.conf
	install -Dm755 -t $(AT)/libexec switch/omnibus-fallback
	install -Dm755 -t $(AT)/sbin switch/omnibus-switch
	install -Dm644 -t $(AT)/share/omnibus/switch $(wildcard switch/*.sh)
	install -Dm755 -t $(AT)/share/omnibus/openrc docs/examples/openrc/dbus
	install -Dm755 -t $(AT)/share/omnibus/runit/omnibus $(wildcard docs/examples/runit/omnibus/*)
	install -Dm644 -t $(AT)/share/omnibus/drop-ins $(wildcard systemd/drop-ins/*.conf)
	for page in $(PAGES); do install -Dm644 -t $(AT)/share/man/man$${page##*.} $$page || exit; done
	test ! -e build/takeover/omnibus-takeover || install -Dm755 -t $(AT)/sbin build/takeover/omnibus-takeover

install: program install-program install-files

MODULE_VERSION = $(shell sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' kernel/dkms.conf)

install-module:
	install -Dm644 -t $(AT)/src/unix_multicast-$(MODULE_VERSION) $(wildcard kernel/*.[ch]) kernel/Makefile kernel/dkms.conf
	install -Dm644 -t $(AT)/src/unix_multicast-$(MODULE_VERSION)/include/uapi/linux $(wildcard kernel/include/uapi/linux/*.h)

uninstall-files:
	rm -f $(addprefix $(AT)/lib/,$(UNITS) tmpfiles.d/omnibus.conf)
	rm -f $(addprefix $(AT)/,libexec/omnibus-fallback sbin/omnibus-switch sbin/omnibus-takeover)
	rm -f $(addprefix $(AT)/share/,bash-completion/completions/omnibusctl zsh/site-functions/_omnibusctl)
	rm -f $(AT)/share/fish/vendor_completions.d/omnibusctl.fish
	rm -f $(POLICY_DIR)/org.omnibus.conf
	for page in $(notdir $(PAGES)); do rm -f $(AT)/share/man/man$${page##*.}/$$page; done
	rm -rf $(AT)/share/omnibus

uninstall: uninstall-files
	for link in $(AT)/bin/*; do \
	    case $$(readlink $$link) in ../lib/omnibus/bin/*) rm $$link || exit ;; esac; \
	done
	rm -f $(AT)/libexec/omnibus-daemon-launch-helper
	rm -rf $(AT)/lib/omnibus

deb:
	.ci/packages debootstrap
	$(PYTHON) packaging/deb.py $(if $(TWICE),--twice) $(SUITES)

GENERATOR = build/mkdocs

$(GENERATOR)/installed: packaging/site.txt
	test -x $(GENERATOR)/bin/pip || $(PYTHON) -m venv $(GENERATOR)
	$(GENERATOR)/bin/pip install -q --disable-pip-version-check -r packaging/site.txt
	touch $@

docs: $(GENERATOR)/installed
	.ci/packages python3-venv mandoc
	$(PYTHON) packaging/site_pages.py stage
	$(GENERATOR)/bin/mkdocs -q build --strict --config-file build/site.yml
	$(PYTHON) packaging/site_pages.py check

rpm: build/builder/bin/python
	.ci/packages rpm rpmlint
	packaging/foreign.sh rpm

arch: build/builder/bin/python
	.ci/packages makepkg fakeroot libarchive-tools zstd
	packaging/foreign.sh arch

index:
	.ci/packages debootstrap qemu-user-static
	$(PYTHON) packaging/wheels.py

release:
	$(PYTHON) packaging/release.py check
	$(MAKE) index
	$(MAKE) deb TWICE=yes
	$(MAKE) docs
	$(PYTHON) packaging/release.py collect

# The blocks of the page that build are these.
deb-test: all test-packages wheels takeover
	.ci/packages debootstrap systemd-container
	unshare --mount $(BIN)/pytest -q $(or $(TESTS),tests/deb)

.PHONY: program install-program install-files install-module install uninstall-files uninstall deb docs rpm arch index release deb-test
