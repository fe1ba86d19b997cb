/* SPDX-License-Identifier: MIT */
#include "base/shared_heap.h"

#include <stdint.h>
#include <string.h>

/*
 * What malloc and its kind are in the program, which is linked with --wrap for each: the shared heap's, once
 * there is one. An object is freed where it was allocated: some are the C library's (vasprintf), or older
 * than the heap.
 */
#ifdef OMNIBUS_SHARED_HEAP

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *object, size_t size);
void __real_free(void *object);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *object, size_t size);
void __wrap_free(void *object);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t most);

void *__wrap_malloc(size_t size)
{
    return shared_heap_begun() ? shared_heap_new(size) : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    if (!shared_heap_begun())
        return __real_calloc(n, size);
    if (size > 0 && n > SIZE_MAX / size)
        return NULL;
    void *object = shared_heap_new(n * size);
    return object ? memset(object, 0, n * size) : NULL;
}

void *__wrap_realloc(void *object, size_t size)
{
    if (shared_heap_begun() && (!object || shared_heap_owns(object)))
        return shared_heap_resize(object, size);
    return __real_realloc(object, size);
}

void __wrap_free(void *object)
{
    if (shared_heap_owns(object))
        shared_heap_free(object);
    else
        __real_free(object);
}

char *__wrap_strndup(const char *text, size_t most)
{
    size_t size = strnlen(text, most);
    char *copy = __wrap_malloc(size + 1);
    if (!copy)
        return NULL;
    copy[size] = 0;
    return memcpy(copy, text, size);
}

char *__wrap_strdup(const char *text)
{
    return __wrap_strndup(text, SIZE_MAX - 1);
}

#endif
