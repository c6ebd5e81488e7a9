#include "raft/log.h"
#include <stdlib.h>
#include <string.h>

#define BLOCK_MIN 512u
#define BLOCK_MAX (64u << 10)

struct log_block {
    uint64_t first, last; /* the entries whose bytes are here */
    size_t used, room;
    uint8_t bytes[];
};

void log_begin(struct raft_log *l, uint64_t base, uint64_t base_term)
{
    *l = (struct raft_log){.base = base, .base_term = base_term, .stored = base, .applied = base};
}

void log_bury(struct raft_log *l)
{
    for (size_t i = 0; i < l->graveyard_count; i++)
        free(l->graveyard[i]);
    free(l->graveyard);
    l->graveyard = NULL;
    l->graveyard_count = 0;
}

void log_fini(struct raft_log *l)
{
    for (size_t i = 0; i < l->block_count; i++)
        free(l->blocks[l->block_begin + i]);
    free(l->blocks);
    free(l->entries);
    log_bury(l);
}

/* ---- questions */

uint64_t log_last(const struct raft_log *l)
{
    return l->base + l->count;
}

const struct raft_entry *log_at(const struct raft_log *l, uint64_t index)
{
    must(index > l->base && index <= log_last(l));
    return &l->entries[l->begin + (size_t)(index - l->base - 1)];
}

bool log_knows_term(const struct raft_log *l, uint64_t index)
{
    return index >= l->base && index <= log_last(l);
}

uint64_t log_term(const struct raft_log *l, uint64_t index)
{
    if (index == l->base)
        return l->base_term;
    return log_knows_term(l, index) ? log_at(l, index)->term : 0;
}

uint64_t log_last_term(const struct raft_log *l)
{
    return log_term(l, log_last(l));
}

size_t entry_cost(const struct raft_entry *e)
{
    return e->len + sizeof *e;
}

size_t log_slice(const struct raft_log *l, uint64_t index, size_t most, size_t max_bytes)
{
    if (index > log_last(l))
        return 0;
    const struct raft_entry *e = log_at(l, index);
    size_t there = (size_t)(log_last(l) - index + 1), n = 0, bytes = 0;
    while (n < there && n < most && (n == 0 || bytes + e[n].len <= max_bytes))
        bytes += e[n++].len;
    return n;
}

/* ---- the bytes */

static struct log_block *newest_block(const struct raft_log *l)
{
    return l->block_count == 0 ? NULL : l->blocks[l->block_begin + l->block_count - 1];
}

static struct log_block *add_block(struct raft_log *l, size_t len, uint64_t index)
{
    const struct log_block *newest = newest_block(l);
    size_t room = newest == NULL ? BLOCK_MIN : newest->room * 2;
    if (room > BLOCK_MAX)
        room = BLOCK_MAX;
    if (room < len)
        room = len;
    if (l->block_begin + l->block_count == l->block_room) {
        if (l->block_begin > l->block_room / 2) {
            memmove(l->blocks, l->blocks + l->block_begin, l->block_count * sizeof(void *));
            l->block_begin = 0;
        } else {
            l->block_room = l->block_room * 2 + 8;
            l->blocks = xrealloc(l->blocks, l->block_room * sizeof(void *));
        }
    }
    struct log_block *b = xmalloc(sizeof *b + room);
    *b = (struct log_block){.first = index, .last = index, .room = room};
    l->blocks[l->block_begin + l->block_count++] = b;
    return b;
}

static const uint8_t *keep_bytes(struct raft_log *l, const void *data, size_t len, uint64_t index)
{
    if (len == 0)
        return NULL;
    struct log_block *b = newest_block(l);
    if (b == NULL || b->room - b->used < len)
        b = add_block(l, len, index);
    uint8_t *copy = b->bytes + b->used;
    memcpy(copy, data, len);
    b->used += len;
    b->last = index;
    return copy;
}

static void drop_newest_blocks(struct raft_log *l, uint64_t index, bool write_is_out)
{
    struct log_block *b;
    while ((b = newest_block(l)) != NULL && b->first >= index) {
        l->block_count--;
        if (!write_is_out) {
            free(b);
            continue;
        }
        l->graveyard = xrealloc(l->graveyard, (l->graveyard_count + 1) * sizeof(void *));
        l->graveyard[l->graveyard_count++] = b;
    }
    /* What was used stays so: a write may still read it. */
    if (b != NULL && b->last >= index)
        b->last = index - 1;
}

static void drop_oldest_blocks(struct raft_log *l, uint64_t index)
{
    while (l->block_count > 0 && l->blocks[l->block_begin]->last <= index) {
        free(l->blocks[l->block_begin]);
        l->block_begin++;
        l->block_count--;
    }
}

/* ---- changes */

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
    uint64_t index = log_last(l) + 1;
    struct raft_entry *e = &l->entries[l->begin + l->count];
    *e = (struct raft_entry){.index = index,
                             .term = term,
                             .kind = kind,
                             .data = keep_bytes(l, data, len, index),
                             .len = len};
    l->bytes += entry_cost(e);
    l->count++;
}

void log_truncate(struct raft_log *l, uint64_t index, bool write_is_out)
{
    must(index > l->base && index > l->applied);
    while (log_last(l) >= index) {
        l->bytes -= entry_cost(&l->entries[l->begin + l->count - 1]);
        l->count--;
    }
    drop_newest_blocks(l, index, write_is_out);
    if (l->stored >= index)
        l->stored = index - 1;
}

size_t log_set_applied(struct raft_log *l, uint64_t index, size_t keep)
{
    size_t before = l->applied_bytes;
    for (uint64_t i = l->applied + 1; i <= index; i++)
        l->applied_bytes += entry_cost(log_at(l, i));
    size_t more = l->applied_bytes - before;
    if (index > l->applied)
        l->applied = index;
    while (l->base < l->applied && l->applied_bytes > keep) {
        const struct raft_entry *e = &l->entries[l->begin];
        l->applied_bytes -= entry_cost(e);
        l->bytes -= entry_cost(e);
        l->base_term = e->term;
        l->begin++;
        l->count--;
        l->base++;
    }
    drop_oldest_blocks(l, l->base);
    return more;
}
