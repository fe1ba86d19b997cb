/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_STACK_H
#define OMNIBUS_STACK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * The lock-free queue between the planes: one thread pushes, the other takes the whole stack; neither waits.
 */
struct stack_node {
    struct stack_node *next;
};

struct stack {
    _Atomic(struct stack_node *) top;
};

/* True if the stack was empty, so that the other side has to be woken. */
static inline bool stack_push(struct stack *stack, struct stack_node *node)
{
    struct stack_node *top = atomic_load_explicit(&stack->top, memory_order_relaxed);
    do {
        node->next = top;
    } while (!atomic_compare_exchange_weak_explicit(&stack->top, &top, node, memory_order_acq_rel,
                                                    memory_order_relaxed));
    return top == NULL;
}

static inline bool stack_empty(const struct stack *stack)
{
    return atomic_load_explicit(&stack->top, memory_order_relaxed) == NULL;
}

/* Takes all nodes, the oldest first. */
static inline struct stack_node *stack_take(struct stack *stack)
{
    struct stack_node *node = atomic_exchange_explicit(&stack->top, NULL, memory_order_acq_rel);
    struct stack_node *oldest = NULL;
    while (node) {
        struct stack_node *next = node->next;
        node->next = oldest;
        oldest = node;
        node = next;
    }
    return oldest;
}

#endif
