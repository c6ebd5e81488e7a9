#include "replica.h"
#include "base/fault.h"
#include "base/id.h"
#include "base/log.h"
#include "apply.h"
#include "logstore.h"
#include "recovery.h"
#include "wire/wire.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define OWN_ID     1 /* of the one member; peers will bring theirs */
#define TICK_MS    100
#define DISK_MS    250 /* how often the room on the disk is looked at */
#define RETRY_MS   500 /* after a write that found no room */
#define READERS_MS 10000
#define BATCH_COMMANDS                                                                             \
    512 /* applied in one transaction: bounds its dirty pages and our absence from the loop */
#define BATCH_BYTES   (8u << 20)
#define COMPACT_SLICE 20000
#define RESERVE_SHARE 20 /* of a small disk at most this part is kept as reserve */

struct write_job {
    struct worker_job job;
    struct replica *replica;
    struct raft_ready ready;
    struct raft_hard_state hard;
    enum err result;
    struct reason why;
};

/* A checkpoint, then the cutting of the log in slices between writes. */
struct checkpoint_job {
    struct worker_job job;
    struct replica *replica;
    uint64_t index;
    bool left;
    enum err result;
    struct reason why;
};

struct replica {
    struct loop *loop;
    struct replica_options options;
    char dir[PATH_MAX];
    struct logstore *log;
    struct state *state;
    struct raft *raft;
    struct worker *disk, *copier;
    struct write_job write;
    struct checkpoint_job checkpoint;
    bool checkpoint_out, running, broken;
    struct timer tick, look, retry, readers;
    struct step step;
    bool retrying; /* a write found no room: wait before the next */
    /* given by raft, not yet applied; their bytes are raft's */
    struct raft_entry *given;
    size_t given_count, given_room;
    struct arena *arena; /* of the command in hand */
    uint64_t applied, last_at_start;
    int64_t last_time;
    char refused[192];
    uint8_t cluster_id[ID_SIZE];
    uint64_t log_first, log_bytes, log_bytes_at_checkpoint, fsyncs, entries, checkpoints;
};

static void on_step(void *owner);

static void mark(struct replica *r)
{
    step_mark(r->loop, &r->step, on_step, r);
}

static void break_down(struct replica *r, const char *what, const struct reason *why)
{
    char line[700];
    if (r->broken)
        return;
    r->broken = true;
    snprintf(line, sizeof line, "%s: %s", what, why->text);
    r->options.broken(r->options.self, line);
}

/* ---- room on the disk */

static void refuse_writes(struct replica *r, const char *text)
{
    if (strcmp(r->refused, text) == 0)
        return;
    if (r->refused[0] == '\0' || text[0] == '\0')
        log_warn(text[0] != '\0' ? "writes_refused" : "writes_taken_again", "reason=%s",
                 log_quote(text[0] != '\0' ? text : r->refused));
    snprintf(r->refused, sizeof r->refused, "%s", text);
}

/* What must stay free after `more` bytes were written; false: it would not. */
static bool disk_has_room(struct replica *r, uint64_t more, char *out, size_t size)
{
    struct statvfs fs;
    if (statvfs(r->dir, &fs) != 0)
        return true; /* the write itself will tell */
    uint64_t total = (uint64_t)fs.f_blocks * fs.f_frsize;
    uint64_t available = (uint64_t)fs.f_bavail * fs.f_frsize, reserve = r->options.disk_reserve;
    if (reserve > total / RESERVE_SHARE)
        reserve = total / RESERVE_SHARE;
    uint64_t map = store_room_bytes(logstore_store(r->log)),
             state = store_room_bytes(state_store(r->state));
    if (state < map)
        map = state;
    if (map < more + (r->options.map_bytes != 0 ? r->options.map_bytes / RESERVE_SHARE : 0)) {
        snprintf(out, size, "disk full: the store has reached its largest size (map_size)");
        return false;
    }
    if (available >= reserve + more)
        return true;
    snprintf(out, size, "disk full: %llu KiB are free in %.80s, %llu KiB are kept in reserve",
             (unsigned long long)available / 1024, r->dir, (unsigned long long)reserve / 1024);
    return false;
}

static void on_look(void *owner)
{
    struct replica *r = owner;
    char text[sizeof r->refused] = "";
    if (!r->retrying)
        refuse_writes(r, disk_has_room(r, 0, text, sizeof text) ? "" : text);
    timer_arm(r->loop, &r->look, DISK_MS, on_look, r);
}

static void on_retry(void *owner)
{
    struct replica *r = owner;
    char text[sizeof r->refused] = "";
    r->retrying = false;
    if (disk_has_room(r, 0, text, sizeof text))
        refuse_writes(r, "");
    mark(r);
}

static void wait_for_room(struct replica *r, const char *what)
{
    char text[sizeof r->refused];
    snprintf(text, sizeof text, "disk full: %.150s", what);
    refuse_writes(r, text);
    r->retrying = true;
    timer_arm(r->loop, &r->retry, RETRY_MS, on_retry, r);
}

/* ---- storing: the disk thread */

static void write_work(struct worker_job *job)
{
    struct write_job *w = (struct write_job *)(void *)job;
    w->result = logstore_write(w->replica->log, w->ready.hard_changed ? &w->hard : NULL,
                               w->ready.entries, w->ready.entry_count, &w->why);
}

static void write_done(struct worker_job *job)
{
    struct write_job *w = (struct write_job *)(void *)job;
    struct replica *r = w->replica;
    if (w->result == OK) {
        r->fsyncs++;
        r->entries += w->ready.entry_count;
        for (size_t i = 0; i < w->ready.entry_count; i++)
            r->log_bytes += w->ready.entries[i].len + LOG_ENTRY_HEADER;
        if (r->log_first == 0 && w->ready.entry_count > 0)
            r->log_first = w->ready.entries[0].index;
        raft_stored(r->raft);
        mark(r);
        return;
    }
    if (w->result != ERR_NO_SPACE) {
        raft_store_failed(r->raft);
        break_down(r, "the raft log cannot be written", &w->why);
        return;
    }
    struct raft_status s;
    raft_store_failed(r->raft);
    raft_status(r->raft, &s);
    wait_for_room(r, w->why.text);
    r->options.lost(r->options.self, s.stored + 1, r->refused);
}

static void store(struct replica *r)
{
    struct raft_ready ready; /* the write's own is the disk thread's while it is out */
    if (r->retrying || !raft_ready(r->raft, &ready))
        return;
    r->write.ready = ready;
    r->write.hard = r->write.ready.hard;
    r->write.replica = r;
    r->write.job = (struct worker_job){.work = write_work, .done = write_done};
    worker_submit(r->disk, &r->write.job);
}

/* ---- applying */

static void take_committed(struct replica *r)
{
    struct raft_entry e;
    while (raft_next_committed(r->raft, &e)) {
        if (r->given_count == r->given_room) {
            r->given_room = r->given_room * 2 + 64;
            r->given = xrealloc(r->given, r->given_room * sizeof *r->given);
        }
        r->given[r->given_count++] = e;
    }
}

static void apply_entry(struct replica *r, struct view *v, const struct raft_entry *e)
{
    Pb__Command *cmd = NULL;
    arena_reset(r->arena);
    if (e->kind == RAFT_COMMAND)
        cmd = WIRE_UNPACK(r->arena, Pb__Command, pb__command, e->data, e->len);
    Pb__Outcome *out = apply(v, cmd, e->index, e->term);
    r->options.applied(r->options.self, e->index, out);
}

/* How many of the given ones go into one transaction. */
static size_t batch_of(const struct replica *r)
{
    size_t n = 0, bytes = 0;
    while (n < r->given_count && n < BATCH_COMMANDS && (n == 0 || bytes < BATCH_BYTES))
        bytes += r->given[n++].len;
    return n;
}

static void apply_batch(struct replica *r)
{
    struct reason why;
    size_t n = batch_of(r);
    struct view *v = state_write(r->state);
    for (size_t i = 0; i < n; i++)
        apply_entry(r, v, &r->given[i]);
    uint64_t index = r->given[n - 1].index;
    int64_t time = view_meta(v)->last_time;
    if (FAULT_POINT("state.commit")) {
        view_abort(v);
        wait_for_room(r, "injected");
        return;
    }
    enum err e = view_commit(v, &why);
    if (e == ERR_NO_SPACE) {
        wait_for_room(r, why.text); /* it is in the log: applied as soon as there is room */
        return;
    }
    if (e != OK) {
        break_down(r, "the state cannot be written", &why);
        return;
    }
    FAULT_POINT("state.committed");
    r->applied = index;
    if (time > r->last_time)
        r->last_time = time;
    r->given_count -= n;
    memmove(r->given, r->given + n, r->given_count * sizeof *r->given);
    raft_applied(r->raft, index);
    r->options.settled(r->options.self, index);
}

/* ---- checkpoints and compaction */

static void compact_work(struct worker_job *job)
{
    struct checkpoint_job *c = (struct checkpoint_job *)(void *)job;
    c->result = logstore_compact(c->replica->log, c->index, COMPACT_SLICE, &c->left, &c->why);
    FAULT_POINT("compact.slice");
}

static void compact_done(struct worker_job *job)
{
    struct checkpoint_job *c = (struct checkpoint_job *)(void *)job;
    struct replica *r = c->replica;
    if (c->result == OK && c->left && !r->broken) {
        worker_submit(r->disk, &c->job);
        return;
    }
    r->checkpoint_out = false;
    if (c->result != OK) {
        log_warn("log_not_cut", "reason=%s", log_quote(c->why.text));
        return;
    }
    r->log_first = c->index + 1;
    r->log_bytes -= r->log_bytes_at_checkpoint;
    r->log_bytes_at_checkpoint = 0;
    r->checkpoints++;
    log_info("checkpoint_made", "index=%llu log_bytes=%llu", (unsigned long long)c->index,
             (unsigned long long)r->log_bytes);
}

static void checkpoint_work(struct worker_job *job)
{
    struct checkpoint_job *c = (struct checkpoint_job *)(void *)job;
    c->result = checkpoint_make(c->replica->dir, state_store(c->replica->state), c->index, &c->why);
}

static void checkpoint_done(struct worker_job *job)
{
    struct checkpoint_job *c = (struct checkpoint_job *)(void *)job;
    struct replica *r = c->replica;
    if (c->result != OK) {
        log_warn("no_checkpoint", "reason=%s", log_quote(c->why.text));
        r->checkpoint_out = false;
        r->log_bytes_at_checkpoint = r->log_bytes; /* try again when it has grown as much again */
        return;
    }
    c->job = (struct worker_job){.work = compact_work, .done = compact_done};
    worker_submit(r->disk, &c->job);
}

static void checkpoint_maybe(struct replica *r)
{
    if (r->checkpoint_out || r->applied == 0 ||
        r->log_bytes - r->log_bytes_at_checkpoint < r->options.log_bytes)
        return;
    r->checkpoint_out = true;
    /* Entries behind applied stay; they are few, so what is taken off the count is all there is
     * now. */
    r->log_bytes_at_checkpoint = r->log_bytes;
    r->checkpoint = (struct checkpoint_job){.replica = r, .index = r->applied};
    r->checkpoint.job = (struct worker_job){.work = checkpoint_work, .done = checkpoint_done};
    worker_submit(r->copier, &r->checkpoint.job);
}

/* ---- the step: after everything that happened in one turn of the loop */

static void on_step(void *owner)
{
    struct replica *r = owner;
    if (!r->running || r->broken)
        return;
    store(r); /* first: the disk works while we apply */
    take_committed(r);
    if (r->given_count > 0 && !r->retrying)
        apply_batch(r);
    checkpoint_maybe(r);
    if (r->given_count > 0 && !r->retrying)
        mark(r);
}

static void on_tick(void *owner)
{
    struct replica *r = owner;
    raft_tick(r->raft);
    timer_arm(r->loop, &r->tick, TICK_MS, on_tick, r);
    mark(r);
}

static void on_readers(void *owner)
{
    struct replica *r = owner;
    store_check_readers(state_store(r->state));
    timer_arm(r->loop, &r->readers, READERS_MS, on_readers, r);
}

/* ---- life */

static enum err identify(struct replica *r, struct reason *why)
{
    char text[ID_TEXT_SIZE];
    if (logstore_fact(r->log, "cluster", text, sizeof text) && id_parse(text, r->cluster_id))
        return OK;
    struct id id = id_new();
    memcpy(r->cluster_id, id.bytes, ID_SIZE);
    id_format(id.bytes, text);
    return logstore_set_fact(r->log, "cluster", text, why);
}

static enum err open_raft(struct replica *r, struct reason *why)
{
    struct logstore_summary sum;
    struct raft_entry *entries;
    size_t count;
    enum err e = logstore_summary(r->log, &sum, why);
    if (e != OK)
        return e;
    struct view *v = state_read(r->state);
    const struct state_meta meta = *view_meta(v);
    view_abort(v);
    e = logstore_load(r->log, meta.applied_index, &entries, &count, why);
    if (e != OK)
        return e;
    struct raft_member self = {.id = OWN_ID, .voter = true};
    struct raft_config c = {.id = OWN_ID,
                            .members = &self,
                            .member_count = 1,
                            .seed = loop_random(r->loop),
                            .hard = sum.hard,
                            .snapshot_index = meta.applied_index,
                            .snapshot_term = meta.applied_term,
                            .entries = entries,
                            .entry_count = count};
    e = raft_new(&r->raft, &c, why);
    entries_free(entries, count);
    r->applied = meta.applied_index;
    r->last_time = meta.last_time;
    r->last_at_start = sum.last;
    r->log_first = sum.first;
    r->log_bytes = sum.bytes;
    return e;
}

static enum err open_stores(struct replica *r, struct reason *why)
{
    char path[PATH_MAX + 8];
    const struct replica_options *o = &r->options;
    struct state_options so = {.map_bytes = o->map_bytes,
                               .changes_kept = o->changes_kept,
                               .outcomes_kept = o->outcomes_kept};
    snprintf(path, sizeof path, "%s/raft", r->dir);
    enum err e = logstore_open(&r->log, path, o->map_bytes, false, why);
    if (e == OK)
        e = recovery_open_state(&r->state, r->dir, r->log, &so, why);
    if (e == OK)
        e = identify(r, why);
    return e == OK ? open_raft(r, why) : e;
}

static void replica_free(struct replica *r)
{
    raft_free(r->raft);
    state_close(r->state);
    logstore_close(r->log);
    arena_free(r->arena);
    free(r->given);
    free(r);
}

enum err replica_open(struct replica **out, struct loop *l, const struct replica_options *o,
                      struct reason *why)
{
    struct replica *r = xcalloc(1, sizeof *r);
    r->loop = l;
    r->options = *o;
    r->arena = arena_new(WIRE_MAX_UNPACKED);
    snprintf(r->dir, sizeof r->dir, "%s", o->dir);
    enum err e = open_stores(r, why);
    if (e != OK) {
        replica_free(r);
        return e;
    }
    *out = r;
    return OK;
}

void replica_start(struct replica *r)
{
    r->disk = worker_new(r->loop);
    r->copier = worker_new(r->loop);
    r->running = true;
    raft_campaign(r->raft); /* alone, there is nobody to wait for */
    on_look(r);
    on_readers(r);
    on_tick(r);
}

void replica_close(struct replica *r)
{
    struct reason why;
    if (r == NULL)
        return;
    r->running = false;
    timer_cancel(r->loop, &r->tick);
    timer_cancel(r->loop, &r->look);
    timer_cancel(r->loop, &r->retry);
    timer_cancel(r->loop, &r->readers);
    step_cancel(&r->step);
    worker_free(r->copier);
    worker_free(r->disk);
    if (!r->broken && store_sync(state_store(r->state), &why) == OK)
        recovery_mark_clean(r->log, &why);
    replica_free(r);
}

/* ---- for the shell */

enum err replica_propose(struct replica *r, const void *data, size_t len, uint64_t *index,
                         struct reason *why)
{
    char text[sizeof r->refused];
    if (r->refused[0] != '\0')
        return reason_set(why, ERR_NO_SPACE, "%s", r->refused);
    /* Once in the log, once or twice as state, and LMDB copies pages it changes. Small ones are
     * what the reserve is for. */
    if (len > (256u << 10) && !disk_has_room(r, 4 * (uint64_t)len, text, sizeof text))
        return reason_set(why, ERR_NO_SPACE, "%s", text);
    enum err e = raft_propose(r->raft, data, len, index);
    if (e != OK)
        return reason_set(why, e, "%s",
                          e == ERR_BUSY ? "too much waits to be written"
                                        : "there is no leader yet");
    mark(r);
    return OK;
}

int64_t replica_time(struct replica *r)
{
    int64_t now = loop_wall_ns(r->loop);
    r->last_time = now > r->last_time ? now : r->last_time + 1;
    return r->last_time;
}

struct state *replica_state(struct replica *r)
{
    return r->state;
}

void replica_status(struct replica *r, struct replica_status *out)
{
    *out = (struct replica_status){.applied_index = r->applied,
                                   .first_log_index = r->log_first,
                                   .caught_up = r->applied >= r->last_at_start,
                                   .write_refused = r->refused,
                                   .log_bytes = r->log_bytes,
                                   .state_bytes = store_file_bytes(state_store(r->state)),
                                   .fsyncs = r->fsyncs,
                                   .entries = r->entries,
                                   .checkpoints = r->checkpoints};
    raft_status(r->raft, &out->raft);
    memcpy(out->cluster_id, r->cluster_id, ID_SIZE);
}
