# SPDX-License-Identifier: MIT
# Included by the Makefile of the project's root.
#   make coverage   which lines of our Python and C the tests pass; a quarter of an hour; TESTS=path: those only
#   make structure   layers, the way of a message, repeated names, lines and words, in numbers
#   make personal-words   where the texts speak of programs as of persons
#   make sanitize-test   the integration tests with a data plane under AddressSanitizer and UBSan
#   make fuzz-bus        whole conversations with buses under both sanitizers; SECONDS=3600, SEED=1
#   make fuzz-bus-proof  the same without the fixes of two faults, each of which has to be found
#   make guest-test      the integration tests in a guest whose kernel has the group; the better part of an hour
#   make attack-test     attacks on omnibusd, its sanitised build and dbus-daemon, each with a limit; ten minutes, as root
#   make bench-attacks   what each attack costs a bystander, beside dbus-daemon and dbus-broker; into docs/contributing/attacks.md
#   make mediation-test  AppArmor and SELinux in force in guests, omnibusd and dbus-daemon compared; the better part of an
#                        hour, as root; MODULES=selinux POLICIES=100 MESSAGES=10000 SEED=1
#   make matrix          the suite on Debian 12, 13 and sid, and with a Python that none of them has; root only
#   make desktop-test    logs in to XFCE and uses it, on dbus-daemon and on omnibus, and compares; root only; RUNS=3
#   make desktop-takeover   logs in to XFCE, takes all three buses over while it is used, and goes on; root only; RUNS=20
#   make crash-test      a thousand kills of a bus under load, and every other test of crashes; CRASHES=1000
#   make upgrade-test    every test of upgrades, crashes, restarts and takeovers, with a hundred upgrades, a thousand kills
#                        and 20 takeovers under load; prints tables; UPGRADES=100, CRASHES=1000, TAKEOVERS=20
#   make containers-test   the reference's own tests of Containers1, on a build of it that has that and on omnibusd; root only
#   make record-state    the state of a bus, which later releases must resume, into tests/upgrade/states; for each release
#   make peers           the peers of client libraries in C++, Go and Rust; tests of libraries skip them otherwise
#   make idle-test       an hour in which nothing happens, and no bus is woken; IDLE_SECONDS=3600
#   make cross-test      the C tests on other architectures and with another libc

SANE = $(CURDIR)/$(VENV)/sanitize
SANE_FLAGS = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# Left out is what the sanitizers themselves take, milliseconds at the start and memory that is kept for a while.
SANE_TESTS ?= tests/bus tests/activation/test_services.py tests/upgrade \
    --deselect=tests/bus/test_start.py::TestDuration --deselect=tests/bus/test_stress.py::TestNoGrowth

# A virtual environment inside the other: its own interpreter and its own copy of the package, built anew.
$(SANE)/built: tests/sanitize/python.c tests/targets.mk $(VENV)/installed $(C_SOURCES) $(PYTHON_FILES)
	rm -rf $(SANE) && mkdir -p $(SANE)/bin $(SANE)/reports
	chmod 1777 $(SANE)/reports
	cp $(VENV)/pyvenv.cfg $(SANE)/
	gcc -g -Wall -Wextra $(SANE_FLAGS) $$($(PYTHON)-config --cflags --embed) -DREPORTS='"$(SANE)/reports/report"' \
	    $< -o $(SANE)/bin/python3 $$($(PYTHON)-config --ldflags --embed)
	site=$$($(SANE)/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && mkdir -p "$$site" && \
	    $(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$$site/outer.pth" && \
	    CC="gcc $(SANE_FLAGS)" CFLAGS=-O1 $(BIN)/python setup.py -q build \
	        --build-base=$(SANE)/build --build-lib="$$site"
	cp $(SANE)/build/scripts-*/omnibusd $(SANE)/bin/
	touch $@

sanitize-test: all test-packages $(SANE)/built
	rm -f $(SANE)/reports/*
	$(BIN)/pytest -q -n $(JOBS) --daemon=$(SANE)/bin/omnibusd $(SANE_TESTS)
	@! grep -rh -A30 -e 'ERROR: ' -e 'runtime error: ' $(SANE)/reports

C_FILES += $(wildcard tests/attacks/*.[ch] tests/structure/*.c)

# An environment beside the other, with a copy of the package whose every process counts lines. In the native modules
# the counters are a file that is mapped, so that they survive a process that is killed.
COVER = $(CURDIR)/$(VENV)/coverage
COVER_FLAGS = -fprofile-instr-generate=$(COVER)/data/%m%c.profraw -fcoverage-mapping \
    -mllvm -runtime-counter-relocation -Wno-unused-command-line-argument
COVER_TESTS = $(addprefix tests/,activation auth bus daemon multicast policy systemd transport)

$(COVER)/built: $(wildcard tests/structure/*) tests/targets.mk $(VENV)/installed $(C_SOURCES) $(PYTHON_FILES)
	rm -rf $(COVER) && $(BIN)/python -m venv --without-pip $(COVER)
	mkdir $(COVER)/data $(COVER)/programs && chmod 1777 $(COVER)/data
	site=$$($(COVER)/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
	    $(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$$site/outer.pth" && \
	    echo 'import measured' >>"$$site/outer.pth" && cp tests/structure/measured.py "$$site/" && \
	    CC="clang $(COVER_FLAGS)" CFLAGS=-O0 $(BIN)/python setup.py -q build \
	        --build-base=$(COVER)/build --build-lib="$$site"
	cp tests/structure/coverage.ini $(COVER)/ && cp $(COVER)/build/scripts-*/omnibusd $(COVER)/bin/
	touch $@

# Only lines count here: tests of the installation itself, and of what a start may take, fail.
coverage: all test-packages $(COVER)/built
	rm -rf $(COVER)/data/* $(COVER)/programs/*
	-COVERAGE_CFLAGS="$(COVER_FLAGS)" COVERAGE_BUILD=$(COVER)/programs \
	    $(COVER)/bin/python3 -m pytest -q --tb=no -p no:cacheprovider -n $(JOBS) --daemon=$(COVER)/bin/omnibusd \
	    $(or $(TESTS),$(COVER_TESTS))
	CFLAGS="-O1 -g -fprofile-instr-generate -fcoverage-mapping" \
	    $(MAKE) -s -j$(JOBS) -C tests/relay BUILD=$(COVER)/relay tests
	@cd tests && ../$(BIN)/python -m structure.coverage_report $(COVER)

structure: all test-packages
	@cd tests && ../$(BIN)/python -m structure.measure

personal-words:
	@cd tests && $(PYTHON) -m structure.words --list

attack-test: all test-packages $(SANE)/built
	ATTACK_TEST=1 $(BIN)/pytest -q $(or $(TESTS),tests/attacks)

bench-attacks: all test-packages
	$(BIN)/python tests/attacks/price_list.py --nice -10 --output docs/contributing/attacks.md

SECONDS ?= 600
fuzz-bus: all test-packages $(SANE)/built
	$(PYTHON) tests/fuzz/run.py --must-reach --seconds=$(SECONDS) $(if $(SEED),--seed=$(SEED)) $(FUZZ)

fuzz-bus-proof: all test-packages
	$(PYTHON) tests/fuzz/proof.py $(if $(SEED),--seed=$(SEED)) $(PROOF)

C_FILES += $(wildcard tests/guest/load/*.[ch] tests/fuzz/*.[ch])

# TESTS=tests/bus/test_names.py: those only. MULTICAST=off: on the relay. KERNEL=6.12: another series.
guest-test: all test-packages
	$(MAKE) -s -C tests/guest/load BUILD=$(CURDIR)/build/load
	$(PYTHON) tests/guest/run.py $(if $(MULTICAST),--multicast=$(MULTICAST)) $(if $(KERNEL),--kernel=$(KERNEL)) $(TESTS)

mediation-test: all test-packages
	cd tests && ../$(BIN)/python -m mediation.run $(if $(POLICIES),--policies=$(POLICIES)) $(if $(CHANGES),--changes=$(CHANGES)) \
	    $(if $(MESSAGES),--messages=$(MESSAGES)) $(if $(SEED),--seed=$(SEED)) $(MODULES)

# PLACES="sid python3.12": there only. TESTS=tests/bus: those only.
matrix:
	.ci/packages debootstrap
	$(PYTHON) tests/matrix/run.py --jobs=$(JOBS) $(PLACES) -- $(TESTS)

# In its own mount namespace, so that no mount outlives it.
desktop-test: wheels
	.ci/packages debootstrap systemd-container
	unshare --mount $(BIN)/python tests/desktop/run.py $(if $(RUNS),--runs=$(RUNS))

desktop-takeover: wheels takeover
	.ci/packages debootstrap systemd-container dbus
	unshare --mount $(BIN)/python tests/desktop/takeover.py $(if $(RUNS),--runs=$(RUNS))

idle-test: all test-packages
	IDLE_SECONDS=$(or $(IDLE_SECONDS),3600) $(BIN)/pytest -q -n 3 tests/daemon/test_rest.py -k Idle

peers:
	.ci/packages tests/support/peers/packages.txt
	$(MAKE) -s -C tests/support/peers BUILT=$(CURDIR)/$(VENV)/peers

# In its own mount namespace, so that no mount outlives it.
containers-test: all
	.ci/packages tests/containers/packages.txt
	cd tests && unshare --mount $(PYTHON) -m containers.run $(CURDIR)/$(BIN)/omnibusd

record-state: all test-packages
	PYTHONPATH=tests $(BIN)/python -m tests.upgrade.record $(BIN)/omnibusd

# ARCHITECTURES="s390x musl": those only.
cross-test:
	.ci/packages tests/cross/packages.txt
	$(MAKE) -s -k -j$(JOBS) -C tests/cross check

crash-test: all test-packages
	CRASHES=$(or $(CRASHES),1000) $(BIN)/pytest -q -s tests/crash

# In this order: states and their reader, upgrades of every kind, crashes, takeovers, and on a booted machine both.
upgrade-test: all test-packages peers
	$(BIN)/pytest -q -n $(JOBS) tests/relay -k 'resume or salvage or caretaker or shared_heap or fuzz_state'
	UPGRADES=$(or $(UPGRADES),100) $(BIN)/pytest -q -s tests/upgrade
	$(MAKE) -s crash-test
	$(MAKE) -s takeover-test
	[ "$$(id -u)" != 0 ] || $(MAKE) -s systemd-test TESTS='tests/systemd_boot/test_standby.py tests/systemd_boot/test_restart.py'

.PHONY: containers-test crash-test upgrade-test peers record-state idle-test desktop-takeover coverage structure personal-words sanitize-test attack-test bench-attacks guest-test mediation-test matrix desktop-test cross-test
