# SPDX-License-Identifier: MIT
#   make bench   compare with the buses that are installed; writes bench/report.md. Ten minutes, best as root
#   make bench-guest   compare them in a guest with the kernel module; a quarter of an hour

ROOMS += bench
C_FILES += $(wildcard bench/*/*.[ch])
BENCH_FLAGS ?= --rounds 5 --cpus 1 --syscalls $(if $(filter 0,$(shell id -u)),--nice -10)

bench: all
	$(BIN)/python -m omnibus.bench.compare $(BENCH_FLAGS) --json bench/report.json --report bench/report.md

bench-guest: all
	$(BIN)/python -m omnibus.bench.guest $(if $(KERNEL),--kernel $(KERNEL))

.PHONY: bench bench-guest
