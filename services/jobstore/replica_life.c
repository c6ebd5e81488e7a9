/* Opening, closing, and who this replica is. */
#include "replica_internal.h"

#define DEFAULT_TICK_MS     50
#define DEFAULT_ELECTION_MS 500
#define READERS_MS          10000
#define KEEP_BYTES          (16u << 20)
#define FOUNDING_TERM       1 /* of the entry that begins a cluster, equal on all its servers */

/* ---- identity */

static bool fact_id(struct replica *r, const char *name, uint8_t out[ID_SIZE])
{
    char text[ID_TEXT_SIZE];
    return logstore_fact(r->log, name, text, sizeof text) && id_parse(text, out);
}

static enum err set_fact_id(struct replica *r, const char *name, const uint8_t id[ID_SIZE],
                            struct reason *why)
{
    char text[ID_TEXT_SIZE];
    id_format(id, text);
    return logstore_set_fact(r->log, name, text, why);
}

static enum err identify(struct replica *r, struct reason *why)
{
    enum err e = OK;
    r->has_cluster = fact_id(r, "cluster", r->cluster_id);
    if (!fact_id(r, "server", r->server_id)) {
        struct id id = id_new();
        memcpy(r->server_id, id.bytes, ID_SIZE);
        e = set_fact_id(r, "server", r->server_id, why);
    }
    r->raft_id = u64_load_be(r->server_id + 8);
    if (r->raft_id == 0)
        r->raft_id = 1;
    return e;
}

const uint8_t *replica_server_id(const struct replica *r)
{
    return r->server_id;
}

uint64_t replica_raft_id(const struct replica *r)
{
    return r->raft_id;
}

const uint8_t *replica_cluster_id(const struct replica *r)
{
    return r->has_cluster ? r->cluster_id : NULL;
}

enum err replica_adopt_cluster(struct replica *r, const uint8_t cluster_id[16], struct reason *why)
{
    if (r->has_cluster && memcmp(r->cluster_id, cluster_id, ID_SIZE) == 0)
        return OK;
    if (r->has_cluster)
        return reason_set(why, ERR_EXISTS, "this server belongs to another cluster already");
    enum err e = set_fact_id(r, "cluster", cluster_id, why);
    if (e != OK)
        return e;
    memcpy(r->cluster_id, cluster_id, ID_SIZE);
    r->has_cluster = true;
    return OK;
}

void replica_name(struct replica *r, char *out, size_t size)
{
    if (!logstore_fact(r->log, "name", out, size))
        out[0] = '\0';
}

enum err replica_set_name(struct replica *r, const char *name, struct reason *why)
{
    return logstore_set_fact(r->log, "name", name, why);
}

enum err replica_found(struct replica *r, const struct raft_member *members, size_t count,
                       struct reason *why)
{
    struct logstore_summary sum;
    struct raft_status s;
    uint8_t data[RAFT_MEMBERS_SIZE];
    raft_status(r->raft, &s);
    if (s.last > 0)
        return OK;
    if (r->write_out || r->install_out)
        return reason_set(why, ERR_BUSY, "something is being written");
    enum err e = logstore_summary(r->log, &sum, why);
    if (e != OK)
        return e;
    if (sum.hard.term < FOUNDING_TERM)
        sum.hard = (struct raft_hard_state){.term = FOUNDING_TERM};
    struct raft_entry first = {
        .index = 1, .term = FOUNDING_TERM, .kind = RAFT_MEMBERS, .data = data};
    first.len = raft_members_encode(members, count, data);
    struct log_write w = {.hard = &sum.hard, .entries = &first, .count = 1};
    e = logstore_write(r->log, &w, why);
    if (e != OK)
        return e;
    raft_free(r->raft);
    r->raft = NULL;
    e = replica_open_raft(r, why);
    if (e == OK && r->running)
        replica_mark(r);
    return e;
}

/* The term of the log's end, or of the state where the log has none. */
static enum err last_term(struct replica *r, uint64_t last, uint64_t *term, struct reason *why)
{
    struct raft_entry *entries;
    size_t count;
    *term = r->applied_term;
    if (last <= r->applied)
        return OK;
    enum err e = logstore_load(r->log, last - 1, &entries, &count, why);
    if (e != OK)
        return e;
    if (count > 0)
        *term = entries[count - 1].term;
    entries_free(entries, count);
    return OK;
}

/* An entry of a term of its own, behind the log's end: the servers that go on agree on whose log is
 * the longest by the rules of every election. */
enum err replica_recover(struct replica *r, const struct raft_member *members, size_t count,
                         struct reason *why)
{
    struct raft_status s;
    struct logstore_summary sum;
    uint8_t data[RAFT_MEMBERS_SIZE];
    struct raft_entry entry = {.kind = RAFT_MEMBERS, .data = data};
    must(!r->running);
    raft_status(r->raft, &s);
    if (!r->has_cluster || s.last == 0)
        return reason_set(why, ERR_INVALID, "%s holds no cluster to go on with", r->dir);
    enum err e = logstore_summary(r->log, &sum, why);
    if (e == OK)
        e = last_term(r, s.last, &entry.term, why);
    if (e != OK)
        return e;
    entry.index = s.last + 1;
    entry.term++;
    entry.len = raft_members_encode(members, count, data);
    struct log_write w = {.entries = &entry, .count = 1};
    if (sum.hard.term < entry.term) {
        sum.hard = (struct raft_hard_state){.term = entry.term};
        w.hard = &sum.hard;
    }
    e = logstore_write(r->log, &w, why);
    raft_free(r->raft);
    r->raft = NULL;
    return e == OK ? replica_open_raft(r, why) : e;
}

/* ---- opening */

/* A log that ends before the state does is of the time before the state was installed. */
static enum err drop_old_log(struct replica *r, struct logstore_summary *sum, uint64_t applied,
                             struct reason *why)
{
    if (sum->last >= applied)
        return OK;
    struct log_write w = {.reset = true, .cut = applied};
    enum err e = logstore_write(r->log, &w, why);
    return e == OK ? logstore_summary(r->log, sum, why) : e;
}

/* Those of the state; of one that is older than the keeping of members: ourselves alone. */
static size_t members_of(struct replica *r, struct view *v,
                         struct raft_member out[RAFT_MAX_MEMBERS])
{
    uint8_t data[RAFT_MEMBERS_SIZE];
    size_t count = 0, len = state_members(v, data, sizeof data);
    if (len > 0 && raft_members_decode(data, len, out, &count))
        return count;
    if (view_meta(v)->applied_index == 0)
        return 0;
    out[0] = (struct raft_member){.id = r->raft_id, .voter = true};
    return 1;
}

static unsigned election_ticks(const struct replica *r)
{
    uint64_t ticks = r->options.election_ms / r->options.tick_ms;
    return ticks < 2 ? 2 : (unsigned)ticks;
}

/* In memory for members that are a little behind: no more than the disk keeps. */
static size_t keep_bytes(const struct replica *r)
{
    uint64_t log = r->options.log_bytes;
    return log == 0 || log > KEEP_BYTES ? KEEP_BYTES : (size_t)log;
}

enum err replica_open_raft(struct replica *r, struct reason *why)
{
    struct logstore_summary sum;
    struct raft_member members[RAFT_MAX_MEMBERS];
    struct raft_entry *entries;
    size_t count;
    struct view *v = state_read(r->state);
    const struct state_meta meta = *view_meta(v);
    uint64_t applied = meta.applied_index - state_index_offset(v);
    size_t member_count = members_of(r, v, members);
    view_abort(v);
    enum err e = logstore_summary(r->log, &sum, why);
    if (e == OK)
        e = drop_old_log(r, &sum, applied, why);
    if (e == OK)
        e = logstore_load(r->log, applied > 0 && sum.first <= applied ? applied - 1 : applied,
                          &entries, &count, why);
    if (e != OK)
        return e;
    struct raft_config c = {.id = r->raft_id,
                            .members = members,
                            .member_count = member_count,
                            .election_ticks = election_ticks(r),
                            .heartbeat_ticks = 1,
                            .seed = loop_random(r->loop),
                            .keep_bytes = keep_bytes(r),
                            .hard = sum.hard,
                            .snapshot_index = applied,
                            .snapshot_term = meta.applied_term,
                            .entries = entries,
                            .entry_count = count};
    e = raft_new(&r->raft, &c, why);
    entries_free(entries, count);
    r->applied = applied;
    r->applied_term = meta.applied_term;
    r->last_time = meta.last_time;
    r->last_at_start = sum.last;
    r->log_first = sum.first;
    r->log_bytes = sum.bytes;
    r->checkpoint_due = r->options.log_bytes;
    return e;
}

static enum err open_stores(struct replica *r, struct reason *why)
{
    char path[PATH_MAX + 8];
    const struct replica_options *o = &r->options;
    r->state_options = (struct state_options){.map_bytes = o->map_bytes,
                                              .changes_kept = o->changes_kept,
                                              .outcomes_kept = o->outcomes_kept};
    snprintf(path, sizeof path, "%s/raft", r->dir);
    enum err e = logstore_open(&r->log, path, o->map_bytes, false, why);
    if (e == OK)
        e = recovery_open_state(&r->state, r->dir, r->log, &r->state_options, &r->rebuilt, why);
    if (e == OK)
        e = identify(r, why);
    return e == OK ? replica_open_raft(r, why) : e;
}

static void replica_free(struct replica *r)
{
    raft_free(r->raft);
    state_close(r->state);
    logstore_close(r->log);
    arena_free(r->arena);
    arena_free(r->restore_arena);
    free(r->given);
    free(r->reads);
    free(r);
}

enum err replica_open(struct replica **out, struct loop *l, const struct replica_options *o,
                      struct reason *why)
{
    struct replica *r = xcalloc(1, sizeof *r);
    r->loop = l;
    r->options = *o;
    if (r->options.tick_ms == 0)
        r->options.tick_ms = DEFAULT_TICK_MS;
    if (r->options.election_ms == 0)
        r->options.election_ms = DEFAULT_ELECTION_MS;
    list_init(&r->copy_waiters);
    r->arena = arena_new(WIRE_MAX_UNPACKED);
    r->restore_arena = arena_new(WIRE_MAX_UNPACKED);
    snprintf(r->dir, sizeof r->dir, "%s", o->dir);
    enum err e = open_stores(r, why);
    if (e != OK) {
        replica_free(r);
        return e;
    }
    *out = r;
    return OK;
}

/* ---- running */

static void on_tick(void *owner)
{
    struct replica *r = owner;
    raft_tick(r->raft);
    timer_arm(r->loop, &r->tick, r->options.tick_ms, on_tick, r);
    replica_mark(r);
}

static void on_readers(void *owner)
{
    struct replica *r = owner;
    store_check_readers(state_store(r->state));
    timer_arm(r->loop, &r->readers, READERS_MS, on_readers, r);
}

void replica_start(struct replica *r)
{
    struct raft_peer peers[RAFT_MAX_MEMBERS];
    r->disk = worker_new(r->loop);
    r->copier = worker_new(r->loop);
    r->running = true;
    if (raft_peers(r->raft, peers) == 1)
        raft_campaign(r->raft); /* alone, there is nobody to wait for */
    replica_look(r);
    on_readers(r);
    on_tick(r);
}

static void forget_waiters(struct replica *r)
{
    struct copy_waiter *w;
    while ((w = list_first(&r->copy_waiters, struct copy_waiter, link)) != NULL) {
        list_remove(&w->link);
        free(w);
    }
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
    timer_cancel(r->loop, &r->copy_timer);
    step_cancel(&r->step);
    if (r->disk != NULL) {
        worker_free(r->copier);
        worker_free(r->disk);
    }
    forget_waiters(r);
    if (!r->broken && store_sync(state_store(r->state), &why) == OK)
        recovery_mark_clean(r->log, &why);
    replica_free(r);
}
