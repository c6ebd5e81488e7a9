#include "raft/log.h"
#include <stdlib.h>
#include <string.h>

void log_bury(struct raft_log *l)
{
    for (size_t i = 0; i < l->graveyard_count; i++)
        free(l->graveyard[i]);
    free(l->graveyard);
    l->graveyard = NULL;
    l->graveyard_count = 0;
}

static void drop(struct raft_log *l, struct raft_entry *e, bool write_is_out)
{
    uint8_t *data = (uint8_t *)(uintptr_t)e->data;
    e->data = NULL;
    if (data == NULL)
        return;
    if (!write_is_out) {
        free(data);
        return;
    }
    l->graveyard = xrealloc(l->graveyard, (l->graveyard_count + 1) * sizeof *l->graveyard);
    l->graveyard[l->graveyard_count++] = data;
}

void log_fini(struct raft_log *l)
{
    for (size_t i = 0; i < l->count; i++)
        drop(l, &l->entries[l->begin + i], false);
    free(l->entries);
    log_bury(l);
}

uint64_t log_last(const struct raft_log *l)
{
    return l->base + l->count;
}

const struct raft_entry *log_at(const struct raft_log *l, uint64_t index)
{
    must(index > l->base && index <= log_last(l));
    return &l->entries[l->begin + (size_t)(index - l->base - 1)];
}

uint64_t log_term(const struct raft_log *l, uint64_t index)
{
    if (index == l->base)
        return l->base_term;
    return index < l->base || index > log_last(l) ? 0 : log_at(l, index)->term;
}

uint64_t log_last_term(const struct raft_log *l)
{
    return log_term(l, log_last(l));
}

/* The array handed to a write must not move while the write is out, so a write gets a copy of it;
 * here it may. */
static void make_room(struct raft_log *l)
{
    if (l->begin + l->count < l->room)
        return;
    if (l->begin > l->room / 2) {
        memmove(l->entries, l->entries + l->begin, l->count * sizeof *l->entries);
        l->begin = 0;
        return;
    }
    l->room = l->room * 2 + 64;
    l->entries = xrealloc(l->entries, l->room * sizeof *l->entries);
}

void log_append(struct raft_log *l, uint64_t term, enum raft_kind kind, const void *data,
                size_t len)
{
    make_room(l);
    uint8_t *copy = NULL;
    if (len > 0) {
        copy = xmalloc(len);
        memcpy(copy, data, len);
    }
    l->entries[l->begin + l->count] =
        (struct raft_entry){.index = log_last(l) + 1, .term = term, .kind = kind, copy, len};
    l->count++;
}

void log_truncate(struct raft_log *l, uint64_t index, bool write_is_out)
{
    must(index > l->base);
    while (log_last(l) >= index) {
        drop(l, &l->entries[l->begin + l->count - 1], write_is_out);
        l->count--;
    }
    if (l->stored >= index)
        l->stored = index - 1;
}

void log_compact(struct raft_log *l, uint64_t index, bool write_is_out)
{
    if (index <= l->base)
        return;
    must(index <= log_last(l));
    uint64_t term = log_term(l, index);
    while (l->base < index) {
        drop(l, &l->entries[l->begin], write_is_out);
        l->begin++;
        l->count--;
        l->base++;
    }
    l->base_term = term;
}
