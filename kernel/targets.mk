# SPDX-License-Identifier: GPL-2.0
# Included by the Makefile of the project's root. Everything fetched or built stays below
# ${XDG_CACHE_HOME:-~/.cache}/omnibus/kernel.

# A stock Debian kernel under QEMU, all tests. KERNEL=6.12 takes another series, TESTS=pattern some tests only.
kernel-test:
	kernel/tools/run-tests.sh $(if $(KERNEL),-k $(KERNEL)) $(TESTS)

# What make test runs.
kernel-smoke:
	kernel/tools/run-tests.sh -s $(TESTS)

# Kernels with KASAN, lockdep, kmemleak and failing allocations, which are built first; half an hour at least.
kernel-test-debug:
	kernel/tools/run-debug.sh

# Instructions and wall time against the alternatives.
kernel-bench:
	kernel/tools/run-bench.sh

# checkpatch, sparse, W=1 on the kernels on offer.
kernel-check:
	kernel/tools/check.sh

# dkms as documented, in chroots of Debian's suites; SUITES="trixie sid" takes some only. Downloads a gigabyte at first.
kernel-dkms:
	kernel/tools/test-dkms.sh $(SUITES)

.PHONY: kernel-test kernel-smoke kernel-test-debug kernel-bench kernel-check kernel-dkms
