/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_LIST_H
#define OMNIBUS_LIST_H

/*
 * The base layer: lists, tables, hashes, texts, buffers, accounts and wake-ups. Nothing in this folder knows
 * D-Bus or the bus.
 *
 * - Containers are intrusive: links and nodes live in the objects, so insertion cannot fail and an object is
 *   in as many containers as it has links. CONTAINER_OF leads from a link back to its object.
 * - Objects that several owners share (buffer, account, symbol) count references; all others have one owner.
 * - The data plane has one thread. Only stack.h and wake.h may be used from two threads.
 * - A function that allocates reports failure; nothing aborts for lack of memory.
 *
 * Generic containers that allocate their nodes were rejected: each insertion on the path of a message would
 * be one more allocation that can fail.
 */

#include <stdbool.h>
#include <stddef.h>

/* A circular doubly linked list whose links live in the objects. An unlinked link points to nothing. */
struct list {
    struct list *next, *previous;
};

static inline void list_init(struct list *head)
{
    head->next = head->previous = head;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

static inline bool list_linked(const struct list *link)
{
    return link->next != NULL;
}

static inline void list_append(struct list *head, struct list *link)
{
    link->previous = head->previous;
    link->next = head;
    head->previous->next = link;
    head->previous = link;
}

/* Moves all elements to the end of another list. */
static inline void list_move_all(struct list *head, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->previous = head->previous;
    head->previous->next = from->next;
    from->previous->next = head;
    head->previous = from->previous;
    list_init(from);
}

static inline void list_unlink(struct list *link)
{
    if (!link->next)
        return;
    link->previous->next = link->next;
    link->next->previous = link->previous;
    link->next = link->previous = NULL;
}

#define LIST_FOR(at, head) for (struct list *at = (head)->next; at != (head); at = at->next)
/* the variant whose body may unlink at */
#define LIST_FOR_SAFE(at, after, head)                                                                       \
    for (struct list *at = (head)->next, *after = at->next; at != (head); at = after, after = at->next)

#endif
