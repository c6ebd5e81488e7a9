/* Room on the disk; checkpoints and the cutting of the log. */
#include "replica_internal.h"
#include <sys/statvfs.h>

#define DISK_MS       250 /* how often the room on the disk is looked at */
#define RETRY_MS      500 /* after a write that found no room */
#define COMPACT_SLICE 20000
#define RESERVE_SHARE 20 /* of a small disk at most this part is kept as reserve */

/* ---- room on the disk */

/* Told once when it begins; that it is over only a write that succeeds can tell, see replica_wrote:
 * a retry that fails again is no news. */
static void refuse_writes(struct replica *r, const char *text)
{
    if (text[0] != '\0' && !r->told_refused) {
        log_warn("writes_refused", "reason=%s", log_quote(text));
        r->told_refused = true;
    }
    snprintf(r->refused, sizeof r->refused, "%s", text);
}

void replica_wrote(struct replica *r)
{
    if (!r->told_refused || r->refused[0] != '\0')
        return;
    log_warn("writes_taken_again", "log_bytes=%llu", (unsigned long long)r->log_bytes);
    r->told_refused = false;
}

bool replica_has_room(struct replica *r, uint64_t more, char *out, size_t size)
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

void replica_look_now(struct replica *r)
{
    char text[sizeof r->refused] = "";
    if (r->looked_ms == loop_now_ms(r->loop) || r->retrying)
        return;
    r->looked_ms = loop_now_ms(r->loop);
    refuse_writes(r, replica_has_room(r, 0, text, sizeof text) ? "" : text);
}

void replica_look(void *owner)
{
    struct replica *r = owner;
    replica_look_now(r);
    timer_arm(r->loop, &r->look, DISK_MS, replica_look, r);
}

static void on_retry(void *owner)
{
    struct replica *r = owner;
    char text[sizeof r->refused] = "";
    r->retrying = false;
    if (replica_has_room(r, 0, text, sizeof text))
        refuse_writes(r, "");
    replica_mark(r);
}

void replica_wait_for_room(struct replica *r, const char *what)
{
    char text[sizeof r->refused];
    snprintf(text, sizeof text, "disk full: %.150s", what);
    refuse_writes(r, text);
    r->retrying = true;
    timer_arm(r->loop, &r->retry, RETRY_MS, on_retry, r);
}

/* ---- checkpoints and compaction */

static void compact_work(struct worker_job *job)
{
    struct checkpoint_job *c = (struct checkpoint_job *)(void *)job;
    c->result = logstore_compact(c->replica->log, c->cut, COMPACT_SLICE, &c->left, &c->why);
    FAULT_POINT("compact.slice");
}

static void compacted(struct replica *r, const struct checkpoint_job *c)
{
    uint64_t gone = c->cut == c->index ? c->bytes : r->trailing;
    if (c->cut < r->log_first)
        gone = 0;
    else
        r->log_first = c->cut + 1;
    r->log_bytes -= gone < r->log_bytes ? gone : r->log_bytes;
    r->trailing = c->bytes > gone ? c->bytes - gone : 0;
    r->checkpoint_before = c->index;
    r->checkpoint_due = r->trailing + r->options.log_bytes;
    r->checkpoints++;
    log_info("checkpoint_made", "index=%llu log_from=%llu log_bytes=%llu",
             (unsigned long long)c->index, (unsigned long long)r->log_first,
             (unsigned long long)r->log_bytes);
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
    if (c->result != OK)
        log_warn("log_not_cut", "reason=%s", log_quote(c->why.text));
    else
        compacted(r, c);
    replica_mark(r);
}

static void checkpoint_work(struct worker_job *job)
{
    struct checkpoint_job *c = (struct checkpoint_job *)(void *)job;
    c->result = checkpoint_make(c->replica->dir, state_store(c->replica->state), c->index, &c->why);
}

/* Alone, everything in the checkpoint may go from the log. Where there are others, one that is a
 * little behind should not need the whole state: what was written since the checkpoint before this
 * one stays, and what a copy on its way goes on with. */
static uint64_t cut_for(const struct replica *r, uint64_t index)
{
    struct raft_peer peers[RAFT_MAX_MEMBERS];
    if (raft_peers(r->raft, peers) <= 1)
        return index;
    uint64_t cut = r->checkpoint_before;
    if (r->copy_holders > 0 && r->copy.copy.index < cut)
        cut = r->copy.copy.index;
    return cut;
}

static void checkpoint_done(struct worker_job *job)
{
    struct checkpoint_job *c = (struct checkpoint_job *)(void *)job;
    struct replica *r = c->replica;
    if (c->result != OK) {
        log_warn("no_checkpoint", "reason=%s", log_quote(c->why.text));
        r->checkpoint_out = false;
        r->checkpoint_due = r->log_bytes + r->options.log_bytes; /* when it has grown as much */
        return;
    }
    c->cut = cut_for(r, c->index);
    if (c->cut < r->log_first) {
        r->checkpoint_out = false;
        compacted(r, c);
        return;
    }
    c->job = (struct worker_job){.work = compact_work, .done = compact_done};
    worker_submit(r->disk, &c->job);
}

void replica_checkpoint_maybe(struct replica *r)
{
    struct raft_status s;
    raft_status(r->raft, &s);
    if (r->checkpoint_out || s.log_reset_due || r->install_out || r->restoring || r->applied == 0 ||
        r->log_bytes < r->checkpoint_due)
        return;
    r->checkpoint_out = true;
    /* Entries behind applied stay; they are few, so what is counted is all there is now. */
    r->checkpoint =
        (struct checkpoint_job){.replica = r, .index = r->applied, .bytes = r->log_bytes};
    r->checkpoint.job = (struct worker_job){.work = checkpoint_work, .done = checkpoint_done};
    worker_submit(r->copier, &r->checkpoint.job);
}
