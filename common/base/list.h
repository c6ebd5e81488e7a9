/* Doubly linked, intrusive: the link is a member of what is linked. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct link {
    struct link *prev, *next;
};

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static inline void list_init(struct link *head)
{
    head->prev = head->next = head;
}
static inline bool list_empty(const struct link *head)
{
    return head->next == head;
}
static inline bool link_is_linked(const struct link *l)
{
    return l->next != NULL && l->next != l;
}

static inline void list_insert_before(struct link *at, struct link *l)
{
    l->prev = at->prev;
    l->next = at;
    at->prev->next = l;
    at->prev = l;
}

static inline void list_push_back(struct link *head, struct link *l)
{
    list_insert_before(head, l);
}
static inline void list_push_front(struct link *head, struct link *l)
{
    list_insert_before(head->next, l);
}

/* Leaves l unlinked; harmless on one that is not linked or all zero. */
static inline void list_remove(struct link *l)
{
    if (l->next == NULL)
        return;
    l->prev->next = l->next;
    l->next->prev = l->prev;
    l->prev = l->next = NULL;
}

#define list_first(head, type, member)                                                             \
    (list_empty(head) ? NULL : container_of((head)->next, type, member))
/* The current one may be removed inside the loop. */
#define list_each(head, type, member, it)                                                          \
    for (struct link *l_ = (head)->next, *n_ = l_->next;                                           \
         l_ != (head) && ((it) = container_of(l_, type, member), 1); l_ = n_, n_ = l_->next)

#endif
