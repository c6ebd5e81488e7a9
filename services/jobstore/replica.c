/* The loop around raft's core: what is to be stored, sent, applied and read. */
#include "replica_internal.h"

#define BATCH_COMMANDS                                                                             \
    512 /* applied in one transaction: bounds its dirty pages and our absence from the loop */
#define BATCH_BYTES (8u << 20)

static void on_step(void *owner);

void replica_mark(struct replica *r)
{
    step_mark(r->loop, &r->step, on_step, r);
}

void replica_break(struct replica *r, const char *what, const struct reason *why)
{
    char line[700];
    if (r->broken)
        return;
    r->broken = true;
    snprintf(line, sizeof line, "%s: %s", what, why->text);
    r->options.broken(r->options.self, line);
}

/* ---- storing: the disk thread */

static void send_all(struct replica *r, const struct raft_message *m, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        r->options.send(r->options.self, &m[i]);
        if (m[i].type == RAFT_SNAPSHOT)
            r->options.offer(r->options.self, m[i].to);
    }
}

static void write_work(struct worker_job *job)
{
    struct write_job *w = (struct write_job *)(void *)job;
    w->result = logstore_write(w->replica->log, &w->log, &w->why);
}

static void count_written(struct replica *r, const struct write_job *w)
{
    r->fsyncs++;
    r->entries += w->ready.entry_count;
    if (w->ready.reset_log)
        r->log_bytes = r->trailing = r->log_first = 0;
    for (size_t i = 0; i < w->ready.entry_count; i++)
        r->log_bytes += w->ready.entries[i].len + LOG_ENTRY_HEADER;
    if (r->log_first == 0 && w->ready.entry_count > 0)
        r->log_first = w->ready.entries[0].index;
}

static void write_done(struct worker_job *job)
{
    struct write_job *w = (struct write_job *)(void *)job;
    struct replica *r = w->replica;
    r->write_out = false;
    if (w->result == OK) {
        count_written(r, w);
        replica_wrote(r);
        send_all(r, w->ready.held, w->ready.held_count); /* they are raft's until raft_stored */
        raft_stored(r->raft);
        replica_mark(r);
        return;
    }
    struct raft_status s;
    raft_store_failed(r->raft);
    if (w->result != ERR_NO_SPACE) {
        replica_break(r, "the raft log cannot be written", &w->why);
        return;
    }
    raft_status(r->raft, &s);
    replica_wait_for_room(r, w->why.text);
    r->options.lost(r->options.self, s.stored + 1, ERR_NO_SPACE, r->refused);
}

static void write_begin(struct replica *r, const struct raft_ready *ready)
{
    struct write_job *w = &r->write;
    *w = (struct write_job){.replica = r, .ready = *ready};
    w->log = (struct log_write){.hard = ready->hard_changed ? &w->ready.hard : NULL,
                                .entries = ready->entries,
                                .count = ready->entry_count,
                                .reset = ready->reset_log,
                                .cut = r->applied};
    w->job = (struct worker_job){.work = write_work, .done = write_done};
    r->write_out = true;
    worker_submit(r->disk, &w->job);
}

static void store(struct replica *r)
{
    struct raft_ready ready;
    while (!r->retrying && !r->install_ready && raft_ready(r->raft, &ready)) {
        send_all(r, ready.messages, ready.message_count);
        if (ready.must_store)
            write_begin(r, &ready);
        else
            send_all(r, ready.held, ready.held_count);
    }
}

/* A member needs what only the disk still has. Never what is not yet applied: the disk may hold
 * another leader's. */
static void load_for_members(struct replica *r)
{
    struct raft_load load;
    struct reason why;
    while (raft_next_load(r->raft, &load)) {
        struct raft_entry *entries = NULL;
        size_t count = 0, most = load.max_entries;
        uint64_t term;
        if (load.after >= r->applied) {
            raft_load_failed(r->raft, load.peer);
            continue;
        }
        if (r->applied - load.after < most)
            most = (size_t)(r->applied - load.after);
        if (logstore_range(r->log, load.after, most, load.max_bytes, &term, &entries, &count,
                           &why) != OK) {
            raft_load_failed(r->raft, load.peer);
            continue;
        }
        raft_loaded(r->raft, load.peer, load.after, term, entries, count);
        entries_free(entries, count);
    }
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

static const Pb__Command *command_of(struct replica *r, const struct raft_entry *e)
{
    arena_reset(r->arena);
    if (e->kind != RAFT_COMMAND)
        return NULL;
    return WIRE_UNPACK(r->arena, Pb__Command, pb__command, e->data, e->len);
}

/* Not one that comes a second time: that gets the first outcome, as any. */
static bool ends_restore(struct replica *r, struct view *v, const Pb__Command *cmd)
{
    return cmd != NULL && cmd->body_case == PB__COMMAND__BODY_RESTORE_PART &&
           cmd->restore_part->end && cmd->has_request_id &&
           state_outcome(v, r->arena, cmd->request_id.data) == NULL;
}

/* How many of the given ones go into one transaction. */
static size_t batch_of(const struct replica *r)
{
    size_t n = 0, bytes = 0;
    while (n < r->given_count && n < BATCH_COMMANDS && (n == 0 || bytes < BATCH_BYTES))
        bytes += r->given[n++].len;
    return n;
}

static void batch_applied(struct replica *r, size_t n)
{
    uint64_t index = r->given[n - 1].index;
    r->applied = index;
    r->applied_term = r->given[n - 1].term;
    r->given_count -= n;
    memmove(r->given, r->given + n, r->given_count * sizeof *r->given);
    raft_applied(r->raft, index);
    r->options.settled(r->options.self, index);
}

/* Applies up to n; stops before one that needs the state to be settled first. How many. */
static size_t apply_some(struct replica *r, struct view *v, size_t n, bool *restore)
{
    uint64_t offset = state_index_offset(v);
    for (size_t i = 0; i < n; i++) {
        const struct raft_entry *e = &r->given[i];
        const Pb__Command *cmd = command_of(r, e);
        if (ends_restore(r, v, cmd)) {
            *restore = true;
            return i;
        }
        if (e->kind == RAFT_MEMBERS) {
            apply_members(v, e->data, e->len, e->index + offset, e->term);
            continue;
        }
        Pb__Outcome *out = apply(v, cmd, e->index + offset, e->term);
        r->options.applied(r->options.self, e->index, out);
    }
    return n;
}

static void apply_batch(struct replica *r)
{
    struct reason why;
    bool restore = false;
    struct view *v = state_write(r->state);
    size_t n = apply_some(r, v, batch_of(r), &restore);
    int64_t time = view_meta(v)->last_time;
    if (n == 0) {
        view_abort(v);
        replica_restore_begin(r, &r->given[0]);
        return;
    }
    if (FAULT_POINT("state.commit")) {
        view_abort(v);
        replica_wait_for_room(r, "injected");
        return;
    }
    enum err e = view_commit(v, &why);
    if (e == ERR_NO_SPACE) {
        replica_wait_for_room(r, why.text); /* it is in the log: applied when there is room */
        return;
    }
    if (e != OK) {
        replica_break(r, "the state cannot be written", &why);
        return;
    }
    FAULT_POINT("state.committed");
    if (time > r->last_time)
        r->last_time = time;
    batch_applied(r, n);
}

void replica_restored(struct replica *r)
{
    batch_applied(r, 1);
}

/* ---- reads */

static void read_wait(struct replica *r, uint64_t context, uint64_t index)
{
    if (r->read_count == r->read_room) {
        r->read_room = r->read_room * 2 + 64;
        r->reads = xrealloc(r->reads, r->read_room * sizeof *r->reads);
    }
    r->reads[r->read_count++] = (struct pending_read){context, index};
}

static void answer_reads(struct replica *r)
{
    uint64_t context, index;
    while (raft_next_read(r->raft, &context, &index))
        read_wait(r, context, index);
    size_t kept = 0, count = r->read_count;
    for (size_t i = 0; i < count; i++) {
        struct pending_read p = r->reads[i];
        if (p.index > r->applied)
            r->reads[kept++] = p;
        else
            r->options.readable(r->options.self, p.context);
    }
    r->read_count = kept;
}

/* ---- who leads */

static void note_role(struct replica *r)
{
    struct raft_status s;
    raft_status(r->raft, &s);
    bool leads = s.role == RAFT_LEADER, led = r->told_role == RAFT_LEADER;
    bool leading = leads && r->applied_term == s.term;
    if (s.term == r->told_term && s.leader == r->told_leader && s.role == r->told_role &&
        leading == r->told_leading)
        return;
    bool lost = led && (!leads || s.term != r->told_term);
    if (s.leader != r->told_leader || leads != led)
        log_info("leader", "term=%llu leader=%016llx role=%s", (unsigned long long)s.term,
                 (unsigned long long)s.leader, leads ? "leader" : "follower");
    r->told_term = s.term;
    r->told_leader = s.leader;
    r->told_role = s.role;
    r->told_leading = leading;
    if (lost) {
        r->read_count = 0;
        r->options.lost(r->options.self, 0, ERR_NOT_LEADER, "leadership was lost");
        r->options.reads_lost(r->options.self);
    }
    r->options.role_changed(r->options.self);
}

/* ---- the step: after everything that happened in one turn of the loop */

static void on_step(void *owner)
{
    struct replica *r = owner;
    if (!r->running || r->broken)
        return;
    store(r); /* first: the disk works while we apply */
    load_for_members(r);
    take_committed(r);
    note_role(r); /* before anything is applied: what was proposed may be another's by now */
    uint64_t before = r->applied;
    if (r->given_count > 0 && !r->retrying && !r->restoring)
        apply_batch(r);
    answer_reads(r);
    note_role(r);
    replica_install_maybe(r);
    replica_checkpoint_maybe(r);
    store(r); /* what applying and loading led to */
    if (r->applied != before && r->given_count > 0)
        replica_mark(r);
}

/* ---- for the shell */

/* Who asks again is answered by the new leader; BUSY would be for a person to deal with. */
static enum err refused(const struct replica *r, enum err e, struct reason *why)
{
    struct raft_status s;
    raft_status(r->raft, &s);
    if (e == ERR_BUSY && s.transferee != 0)
        return reason_set(why, ERR_NOT_LEADER, "leadership is being handed over");
    if (e == ERR_BUSY)
        return reason_set(why, e, "too much waits to be written");
    return reason_set(why, e, "%s",
                      r->told_leader != 0 ? "another server leads" : "there is no leader yet");
}

enum err replica_propose(struct replica *r, const void *data, size_t len, uint64_t *index,
                         struct reason *why)
{
    char text[sizeof r->refused];
    replica_look_now(r);
    if (r->refused[0] != '\0')
        return reason_set(why, ERR_NO_SPACE, "%s", r->refused);
    /* Once in the log, once or twice as state, and LMDB copies pages it changes. Small ones are
     * what the reserve is for. */
    if (len > (256u << 10) && !replica_has_room(r, 4 * (uint64_t)len, text, sizeof text))
        return reason_set(why, ERR_NO_SPACE, "%s", text);
    enum err e = raft_propose(r->raft, data, len, index);
    if (e != OK)
        return refused(r, e, why);
    replica_mark(r);
    return OK;
}

enum err replica_read(struct replica *r, uint64_t context)
{
    enum err e = raft_read_index(r->raft, context);
    if (e == OK)
        replica_mark(r);
    return e;
}

void replica_step(struct replica *r, const struct raft_message *m)
{
    if (!r->running || r->broken)
        return;
    if (m->type == RAFT_APPEND || m->type == RAFT_SNAPSHOT)
        r->heard_ms = loop_now_ms(r->loop);
    raft_step(r->raft, m);
    replica_mark(r);
}

enum err replica_change_members(struct replica *r, enum raft_change change, uint64_t id,
                                struct reason *why)
{
    uint64_t index;
    enum err e = raft_change_members(r->raft, change, id, &index, why);
    if (e == OK)
        replica_mark(r);
    return e;
}

enum err replica_transfer(struct replica *r, uint64_t id, struct reason *why)
{
    enum err e = raft_transfer(r->raft, id, why);
    if (e == OK)
        replica_mark(r);
    return e;
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

/* A member of several may hold entries that nobody will ever commit: what it must have applied is
 * what its leader says is committed. */
static bool caught_up(const struct replica *r, const struct raft_status *s, bool alone)
{
    if (r->applied >= r->last_at_start)
        return true;
    if (alone)
        return false;
    return s->leader != 0 ? r->applied >= s->commit : !r->rebuilt;
}

void replica_status(struct replica *r, struct replica_status *out)
{
    struct raft_peer peers[RAFT_MAX_MEMBERS];
    *out = (struct replica_status){.applied_index = r->applied,
                                   .first_log_index = r->log_first,
                                   .leading = r->told_leading,
                                   .write_refused = r->refused,
                                   .log_bytes = r->log_bytes,
                                   .state_bytes = store_file_bytes(state_store(r->state)),
                                   .fsyncs = r->fsyncs,
                                   .entries = r->entries,
                                   .checkpoints = r->checkpoints,
                                   .installs = r->installs};
    raft_status(r->raft, &out->raft);
    out->caught_up = caught_up(r, &out->raft, raft_peers(r->raft, peers) <= 1);
    if (out->raft.role != RAFT_LEADER)
        out->last_contact_ms = loop_now_ms(r->loop) - r->heard_ms;
}

size_t replica_peers(struct replica *r, struct raft_peer out[RAFT_MAX_MEMBERS])
{
    return raft_peers(r->raft, out);
}

uint64_t replica_ticks_ms(const struct replica *r, unsigned ticks)
{
    return ticks * r->options.tick_ms;
}
