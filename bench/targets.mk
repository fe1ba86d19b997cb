# SPDX-License-Identifier: MIT
#   make bench   compare with the buses that are installed; writes bench/report.md. Half an hour, best as root.
#                PEERS=trixie: with those of Debian 13, which bench/peers.sh gets
#   make bench-login   only recorded log-ins, which writes nothing: TRACES="xfce-ref-session" RUNS=3, LOGIN_FLAGS="--speed 1"
#   make bench-login-tables   the same, into bench/report.md, README.md and docs/understanding/performance.md
#   make bench-link    calls through omnibus-link, beside calls on one bus; three minutes, as root
#   make bench-footprint   only memory, start, rest and growth; FOOTPRINT_FLAGS="--scale 0.01 --endure 10": less of it,
#                          which writes nothing. With --endure 3600 the long run is an hour, as in the report that is checked in
#   make bench-guest   compare them in a guest with the kernel module; twenty minutes

ROOMS += bench
C_FILES += $(wildcard bench/*/*.[ch])
BENCH_FLAGS ?= --rounds 5 --cpus 1 --syscalls $(if $(filter 0,$(shell id -u)),--nice -10)

LOGIN_FLAGS ?= $(if $(filter 0,$(shell id -u)),--nice -10)
LOGINS = $(BIN)/python -m omnibus.bench.logins --json bench/logins.json $(LOGIN_FLAGS)

FOOTPRINT_FLAGS ?= --report bench/report.md --json bench/footprint.json
FOOTPRINT = $(BIN)/python -m omnibus.bench.footprint $(if $(filter 0,$(shell id -u)),--nice -10)

bench: all
	$(if $(PEERS),.ci/packages debootstrap)
	$(if $(PEERS),peers=$$(bench/peers.sh $(PEERS)) && PATH=$$peers:$$PATH) $(BIN)/python -m omnibus.bench.compare $(BENCH_FLAGS) --json bench/report.json --report bench/report.md
	$(if $(PEERS),peers=$$(bench/peers.sh $(PEERS)) && PATH=$$peers:$$PATH) $(LOGINS) --runs $(or $(RUNS),10) --report bench/report.md
	$(if $(PEERS),peers=$$(bench/peers.sh $(PEERS)) && PATH=$$peers:$$PATH) $(FOOTPRINT) $(FOOTPRINT_FLAGS)

bench-login: all
	$(LOGINS) --runs $(or $(RUNS),3) $(if $(TRACES),--traces $(subst $(SPACE),$(COMMA),$(strip $(TRACES))))

bench-footprint: all
	$(FOOTPRINT) $(FOOTPRINT_FLAGS)

bench-login-tables: all
	$(LOGINS) --runs $(or $(RUNS),10) --report bench/report.md README.md docs/understanding/performance.md

COMMA = ,
SPACE = $(EMPTY) $(EMPTY)

bench-link: all
	$(MAKE) -s -C bench
	nice -n -10 $(BIN)/python -m omnibus.bench.link

bench-guest: all
	$(BIN)/python -m omnibus.bench.guest $(if $(KERNEL),--kernel $(KERNEL))

.PHONY: bench bench-footprint bench-login bench-login-tables bench-link bench-guest
