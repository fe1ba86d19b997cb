/* SPDX-License-Identifier: MIT */
/*
 * A Python interpreter whose modules may be built with the sanitizers: those must be in the program itself.
 * REPORTS: where they write what they find, a path without the process ID that they append.
 */

#include <Python.h>

const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

/*
 * Leaks are looked for by the C tests: what Python keeps until the end would be found here. The library of
 * the data plane is preloaded in upgrades, and so comes before that of the sanitizer.
 */
const char *__asan_default_options(void)
{
    return "verify_asan_link_order=0:detect_leaks=0:detect_stack_use_after_return=1:quarantine_size_mb=16:"
           "log_path=" REPORTS;
}

const char *__ubsan_default_options(void)
{
    return "halt_on_error=1:print_stacktrace=1:log_path=" REPORTS;
}

int main(int argc, char **argv)
{
    PyPreConfig config;

    /* Each object in memory of its own, so that what reads beyond one is seen. */
    PyPreConfig_InitPythonConfig(&config);
    config.allocator = PYMEM_ALLOCATOR_MALLOC;
    if (PyStatus_Exception(Py_PreInitializeFromBytesArgs(&config, argc, argv)))
        return 1;
    return Py_BytesMain(argc, argv);
}
