# SPDX-License-Identifier: MIT
#   make        build .venv with everything in it: .venv/bin/omnibusd
#   make run    start a private bus in the foreground
#   make tidy   clang-tidy over the C of transport/ and daemon/
#   make test   check and test everything
#   make fuzz   fuzz the C code, ten minutes a target
#   make fuzz-bus   fuzz whole conversations with a sanitised bus (SECONDS=3600); fuzz-bus-proof: it finds what it must
#   make fuzz-coverage   what the fuzz targets reach of it, line by line
#   make policy-test   judge a million random messages by both evaluators, and thousands with dbus-daemon

PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
VENV = .venv
BIN = $(VENV)/bin
BUILT = $(VENV)/built
LINK = $(VENV)/link
JOBS ?= 4

ROOMS = auth ctl daemon link policy systemd transport
PYTHON_FILES = __init__.py openmetrics.py record.py $(wildcard $(addsuffix /*.py,$(ROOMS)) $(addsuffix /*/*.py,$(ROOMS)))
C_FILES = $(wildcard link/*/*.[ch] transport/*/*/*.[ch] transport/resumption/*.[ch] tests/link/*.[ch] tests/relay/*.[ch] daemon/*.c daemon/launch/*.[ch])
C_SOURCES = $(wildcard link/*/*.[ch] transport/*/*/*.[ch] transport/resumption/*.[ch] kernel/include/uapi/linux/*.h daemon/*.c daemon/launch/*.[ch])

all: $(VENV)/compiled

# The package is linked into the environment, not found by an import hook, which would cost every start 25 ms.
$(VENV)/installed: pyproject.toml setup.py ctl/omnibusctl link/omnibus-link .ci/packages
	.ci/packages python3-venv python3-dev gcc
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check --upgrade 'setuptools>=77,<90' 'wheel>=0.40,<1' 'cffi>=1.16,<3'
	$(BIN)/pip install -q --disable-pip-version-check --no-build-isolation -e '.[test]'
	site=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
	    rm -f "$$site"/__editable__*omnibus* && ln -sfn "$(CURDIR)" "$$site/omnibus"
	mkdir -p $(LINK) && ln -sfn "$(CURDIR)" $(LINK)/omnibus
	touch $@

$(BUILT): $(VENV)/installed transport/hardening.flags $(C_SOURCES) $(wildcard */*/build.py)
	$(BIN)/python setup.py -q build_ext --inplace
	install daemon/omnibusd $(BIN)/
	touch $@

# A start must not depend on whether Python may write here.
$(VENV)/compiled: $(BUILT) $(PYTHON_FILES)
	$(BIN)/python -m compileall -q $(PYTHON_FILES)
	touch $@

run: all
	@directory=$$(mktemp -d) && trap 'rm -rf "$$directory"' EXIT && \
	address="unix:path=$$directory/bus" && \
	echo "Talk to it: dbus-send --bus=$$address --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.ListNames" && \
	$(BIN)/omnibusd --session --nofork --nopidfile --address="$$address" --print-address

lint: all
	$(BIN)/ruff check -q .
	$(BIN)/ruff format -q --check .
	$(if $(C_FILES),clang-format --dry-run --Werror $(C_FILES))
	cd tests && $(PYTHON) -m structure.words
	cd $(LINK) && ../../$(BIN)/mypy --cache-dir ../../.mypy_cache --config-file ../../pyproject.toml \
	    $(addprefix omnibus/,$(ROOMS))

# Six seconds. Not a part of lint, because each version of it has other checks.
tidy:
	.ci/packages clang-tidy
	printf '%s\n' $(filter-out %.h $(wildcard link/*/_*.c transport/*/_*.c daemon/launch/_*.c),$(C_SOURCES)) | xargs -P$(JOBS) -n8 sh -c \
	    'clang-tidy --quiet "$$@" -- -std=gnu11 -Ilink/wire -Itransport -Itransport/relay -Itransport/multicast -Ikernel/include/uapi 2>/dev/null' -

test-packages: tests/packages.txt
	@.ci/packages tests/packages.txt

test: all test-packages
	$(MAKE) -s lint
	$(BIN)/pytest -q -n $(JOBS)

policy-test: all test-packages
	POLICY_RULE_SETS=1200 POLICY_REFERENCE_RULE_SETS=250 $(BIN)/pytest -q -s tests/policy/test_three_ways.py

fuzz:
	.ci/packages tests/packages.txt
	$(MAKE) -C tests/relay fuzz

fuzz-coverage:
	.ci/packages tests/packages.txt
	@$(MAKE) -s -C tests/relay coverage

clean:
	rm -rf $(VENV) build *.egg-info link/*/_*.c link/*/_*.so transport/*/_*.c transport/*/_*.so tests/relay/build \
	    transport/relay/libomnibusrelay.so daemon/launch/_launch.*.so daemon/launch/omnibus-daemon-launch-helper \
	    daemon/omnibusd

.PHONY: all run lint tidy test test-packages policy-test fuzz fuzz-coverage clean
.DELETE_ON_ERROR:

-include bench/targets.mk
-include ctl/targets.mk
-include kernel/targets.mk
-include link/targets.mk
-include packaging/targets.mk
-include systemd/targets.mk
-include takeover/targets.mk
-include tests/targets.mk
