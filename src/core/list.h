/*
 * Intrusive doubly linked lists with a head that is a link itself.
 */
#ifndef CORE_LIST_H
#define CORE_LIST_H

#include <stdbool.h>

#include "core/base.h"

/** A head points to itself when the list is empty; an element that is in no list has NULL links. */
struct list {
	struct list *next;
	struct list *prev;
};

static inline void list_init(struct list *head)
{
	head->next = head->prev = head;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

static inline bool list_linked(const struct list *element)
{
	return element->next != NULL;
}

static inline void list_insert_between(struct list *e, struct list *before, struct list *after)
{
	must(e->next == NULL);
	e->prev = before;
	e->next = after;
	before->next = e;
	after->prev = e;
}

/** Makes `e`, which is in no list, the first. */
static inline void list_push(struct list *head, struct list *e)
{
	list_insert_between(e, head, head->next);
}

/** Makes `e`, which is in no list, the last. */
static inline void list_append(struct list *head, struct list *e)
{
	list_insert_between(e, head->prev, head);
}

/** Takes `e` out of its list; nothing happens if it is in none. */
static inline void list_remove(struct list *e)
{
	if (e->next == NULL)
		return;
	e->prev->next = e->next;
	e->next->prev = e->prev;
	e->next = e->prev = NULL;
}

/** Takes out and returns the first element, or NULL. */
static inline struct list *list_pop(struct list *head)
{
	struct list *e = head->next;

	if (e == head)
		return NULL;
	list_remove(e);
	return e;
}

/** Moves all elements of `from` to the empty list `to`: collect first, then call. */
static inline void list_move(struct list *to, struct list *from)
{
	list_init(to);
	if (list_empty(from))
		return;
	*to = *from;
	to->next->prev = to;
	to->prev->next = to;
	list_init(from);
}

#define LIST_FOR_EACH(at, head) for (struct list *at = (head)->next; at != (head); at = at->next)

#endif
