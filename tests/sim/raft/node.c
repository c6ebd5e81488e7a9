#include "node.h"
#include <stdlib.h>
#include <string.h>

uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ (hash >> 29);
}

uint64_t mix_bytes(uint64_t hash, const void *data, size_t len)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return mix(hash, len);
}

/* ---- the disk */

uint64_t disk_last(const struct disk *d)
{
    return d->count == 0 ? 0 : d->first + d->count - 1;
}

const struct record *disk_record(const struct disk *d, uint64_t index)
{
    return index < d->first || index >= d->first + d->count ? NULL : &d->records[index - d->first];
}

bool disk_has(const struct disk *d, uint64_t index, uint64_t term)
{
    const struct record *rec = disk_record(d, index);
    return index <= d->checkpoint.index || (rec != NULL && rec->term == term);
}

static void disk_put(struct disk *d, const struct raft_entry *e)
{
    must(e->len <= RECORD_BYTES);
    if (d->count == 0)
        d->first = e->index;
    must(e->index >= d->first && e->index <= d->first + d->count); /* no gap */
    d->count = (size_t)(e->index - d->first);
    if (d->count == d->room) {
        d->room = d->room * 2 + 32;
        d->records = xrealloc(d->records, d->room * sizeof *d->records);
    }
    struct record *rec = &d->records[d->count++];
    *rec = (struct record){.term = e->term, .kind = e->kind, .len = e->len};
    if (e->len > 0)
        memcpy(rec->data, e->data, e->len);
}

static void disk_cut_front(struct disk *d, uint64_t first)
{
    if (first <= d->first || d->count == 0)
        return;
    size_t gone = (size_t)(first - d->first) < d->count ? (size_t)(first - d->first) : d->count;
    d->count -= gone;
    memmove(d->records, d->records + gone, d->count * sizeof *d->records);
    d->first += gone;
}

static void disk_write(struct disk *d, const struct raft_ready *w)
{
    if (w->reset_log)
        d->count = 0;
    if (w->hard_changed)
        d->hard = w->hard;
    for (size_t i = 0; i < w->entry_count; i++)
        disk_put(d, &w->entries[i]);
}

static void write_happens(struct node *n)
{
    disk_write(&n->disk, &n->write);
    n->hooks->written(n->hooks->self, n, &n->write);
}

static struct raft_entry entry_of(const struct disk *d, uint64_t index)
{
    const struct record *rec = disk_record(d, index);
    return (struct raft_entry){
        .index = index, .term = rec->term, .kind = rec->kind, .data = rec->data, .len = rec->len};
}

/* ---- life */

void node_init(struct node *n, const struct raft_config *config, const struct node_hooks *hooks)
{
    *n = (struct node){.id = config->id, .config = *config, .hooks = hooks};
    n->disk.checkpoint.member_count = config->member_count;
    if (config->member_count > 0)
        memcpy(n->disk.checkpoint.members, config->members,
               config->member_count * sizeof *config->members);
    n->state = n->disk.checkpoint;
}

void node_fini(struct node *n)
{
    raft_free(n->raft);
    free(n->disk.records);
    free(n->incoming);
}

/* Where a start reads the log from: see raft_config. */
static uint64_t log_from(const struct disk *d, uint64_t snapshot)
{
    if (d->count == 0)
        return 1;
    uint64_t from = snapshot < disk_last(d) ? snapshot : disk_last(d);
    return from < d->first ? d->first : from;
}

void node_start(struct node *n, bool state_survived, uint64_t seed)
{
    struct reason why;
    const struct disk *d = &n->disk;
    if (!state_survived || n->state.index < d->checkpoint.index)
        n->state = d->checkpoint;
    struct raft_config c = n->config;
    uint64_t begin = log_from(d, n->state.index);
    size_t count = d->count == 0 ? 0 : (size_t)(disk_last(d) - begin + 1);
    struct raft_entry *entries = xcalloc(count + 1, sizeof *entries);
    for (size_t i = 0; i < count; i++)
        entries[i] = entry_of(d, begin + i);
    c.hard = d->hard;
    c.seed = seed;
    c.snapshot_index = n->state.index;
    c.snapshot_term = n->state.term;
    c.members = n->state.members;
    c.member_count = n->state.member_count;
    c.entries = entries;
    c.entry_count = count;
    if (raft_new(&n->raft, &c, &why) != OK)
        must_failed(why.text, __FILE__, __LINE__);
    free(entries);
    n->unsaid = n->state.index;
}

void node_crash(struct node *n, bool write_happened)
{
    if (n->writing && write_happened)
        write_happens(n);
    n->writing = false;
    raft_free(n->raft);
    n->raft = NULL;
    free(n->incoming);
    n->incoming = NULL;
}

/* ---- effects */

static void apply(struct node *n, const struct raft_entry *e)
{
    struct machine *s = &n->state;
    must(e->index == s->index + 1);
    s->index = e->index;
    s->term = e->term;
    s->hash = mix_bytes(mix(s->hash, e->term), e->data, e->len);
    if (e->kind == RAFT_MEMBERS)
        must(raft_members_decode(e->data, e->len, s->members, &s->member_count));
    n->hooks->applied(n->hooks->self, n, e);
}

static void load(struct node *n, const struct raft_load *want)
{
    struct raft_entry entries[64];
    const struct record *before = disk_record(&n->disk, want->after);
    size_t count = 0;
    while (count < want->max_entries && count < COUNT_OF(entries) &&
           disk_record(&n->disk, want->after + 1 + count) != NULL) {
        entries[count] = entry_of(&n->disk, want->after + 1 + count);
        count++;
    }
    if (count == 0 || (before == NULL && want->after > 0))
        raft_load_failed(n->raft, want->peer);
    else
        raft_loaded(n->raft, want->peer, want->after, before == NULL ? 0 : before->term, entries,
                    count);
}

static void install(struct node *n)
{
    struct machine *s = n->incoming;
    n->incoming = NULL;
    if (raft_snapshot_wanted(n->raft, s->index)) {
        /* The state first; until the core's next write the log is of before it. */
        struct machine before = n->disk.checkpoint, applied = n->state;
        n->disk.checkpoint = n->state = *s;
        if (raft_snapshot_installed(n->raft, s->index, s->term, s->members, s->member_count)) {
            n->unsaid = s->index;
        } else {
            n->disk.checkpoint = before;
            n->state = applied;
        }
    }
    free(s);
}

static bool take_ready(struct node *n)
{
    struct raft_ready ready;
    if (!raft_ready(n->raft, &ready))
        return false;
    for (size_t i = 0; i < ready.message_count; i++)
        n->hooks->send(n->hooks->self, n, &ready.messages[i]);
    if (ready.must_store) {
        n->write = ready;
        n->writing = true;
        n->hooks->write_began(n->hooks->self, n);
    }
    return true;
}

static void take_committed(struct node *n)
{
    struct raft_entry e;
    while (raft_next_committed(n->raft, &e))
        apply(n, &e);
    if (n->unsaid < n->state.index && !n->lazy) {
        raft_applied(n->raft, n->state.index);
        n->unsaid = n->state.index;
    }
}

void node_pump(struct node *n)
{
    struct raft_load want;
    uint64_t context, index;
    bool busy = true;
    while (busy) {
        if (n->incoming != NULL && !n->writing)
            install(n);
        busy = take_ready(n);
        take_committed(n);
        while (raft_next_load(n->raft, &want)) {
            load(n, &want);
            busy = true;
        }
        while (raft_next_read(n->raft, &context, &index))
            n->hooks->read(n->hooks->self, n, context, index);
    }
}

void node_write_ends(struct node *n, bool ok)
{
    must(n->writing);
    n->writing = false;
    if (!ok) {
        raft_store_failed(n->raft);
        return;
    }
    write_happens(n);
    for (size_t i = 0; i < n->write.held_count; i++)
        n->hooks->send(n->hooks->self, n, &n->write.held[i]);
    raft_stored(n->raft);
}

void node_checkpoint(struct node *n, uint64_t keep)
{
    struct raft_status s;
    raft_status(n->raft, &s);
    if (s.log_reset_due || n->unsaid == 0 || n->unsaid != n->state.index)
        return;
    n->disk.checkpoint = n->state;
    if (n->state.index > keep)
        disk_cut_front(&n->disk, n->state.index - keep + 1);
}

void node_take_snapshot(struct node *n, const struct machine *state)
{
    if (n->incoming == NULL)
        n->incoming = xmalloc(sizeof *n->incoming);
    *n->incoming = *state;
}
