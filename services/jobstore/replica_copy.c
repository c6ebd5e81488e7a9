/* States to others and from others, whole. The copying is done by a worker thread; the exchange of
 * one state for another by the loop, when nothing is being written. */
#include "replica_internal.h"
#include "base/crc32c.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err make_empty_dir(struct replica *r, const char *name, char *path, size_t size,
                               struct reason *why)
{
    char dir[PATH_MAX + 16];
    recovery_remove_dir(r->dir, name);
    snprintf(dir, sizeof dir, "%s/%s", r->dir, name);
    if (mkdir(dir, 0750) != 0)
        return reason_errno(why, ERR_IO, "make %s", dir);
    int n = snprintf(path, size, "%s/data.mdb", dir);
    return n > 0 && (size_t)n < size ? OK
                                     : reason_set(why, ERR_INVALID, "a path too long: %s", dir);
}

static enum err sync_file(const char *path, uint64_t *size, struct reason *why)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0 && fstat(fd, &st) == 0;
    enum err e = good ? OK : reason_errno(why, ERR_IO, "sync %s", path);
    if (good && size != NULL)
        *size = (uint64_t)st.st_size;
    if (fd >= 0)
        close(fd);
    return e;
}

/* ---- out: a copy for members that are behind */

static enum err copy_state(struct copy_job *c)
{
    struct replica *r = c->replica;
    enum err e = make_empty_dir(r, "outgoing", c->path, sizeof c->path, &c->why);
    if (e != OK)
        return e;
    int fd = open(c->path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0640);
    if (fd < 0)
        return reason_errno(&c->why, ERR_IO, "make %s", c->path);
    e = store_copy(state_store(r->state), fd, &c->why);
    close(fd);
    return e;
}

/* Which index the copy holds, the copy itself says. */
static void copy_work(struct worker_job *job)
{
    struct copy_job *c = (struct copy_job *)(void *)job;
    struct state *s;
    char dir[PATH_MAX + 16];
    struct state_options o = c->replica->state_options;
    o.read_only = true;
    c->result = copy_state(c);
    snprintf(dir, sizeof dir, "%s/outgoing", c->replica->dir);
    if (c->result == OK)
        c->result = sync_file(c->path, &c->copy.size, &c->why);
    if (c->result == OK)
        c->result = state_open(&s, dir, &o, &c->why);
    if (c->result != OK)
        return;
    struct view *v = state_read(s);
    c->copy.index = view_meta(v)->applied_index - state_index_offset(v);
    c->copy.term = view_meta(v)->applied_term;
    c->copy.path = c->path;
    view_abort(v);
    state_close(s);
}

static void copy_done(struct worker_job *job)
{
    struct copy_job *c = (struct copy_job *)(void *)job;
    struct replica *r = c->replica;
    struct copy_waiter *w;
    r->copy_out = false;
    r->copy_made = c->result == OK;
    if (!r->copy_made)
        log_warn("no_copy", "reason=%s", log_quote(c->why.text));
    while ((w = list_first(&r->copy_waiters, struct copy_waiter, link)) != NULL) {
        struct copy_waiter now = *w;
        list_remove(&w->link);
        free(w);
        r->copy_holders += r->copy_made;
        now.done(now.owner, r->copy_made ? &c->copy : NULL, c->why.text);
    }
}

static void on_copy_ready(void *owner)
{
    struct replica *r = owner;
    copy_done(&r->copy.job);
}

void replica_copy(struct replica *r,
                  void (*done)(void *owner, const struct replica_copy *c, const char *why),
                  void *owner)
{
    struct copy_waiter *w = xcalloc(1, sizeof *w);
    w->done = done;
    w->owner = owner;
    list_push_back(&r->copy_waiters, &w->link);
    if (r->copy_out)
        return;
    if (r->copy_holders > 0) {
        timer_arm(r->loop, &r->copy_timer, 0, on_copy_ready, r);
        return;
    }
    r->copy_out = true;
    r->copy = (struct copy_job){.replica = r, .job = {.work = copy_work, .done = copy_done}};
    worker_submit(r->copier, &r->copy.job);
}

void replica_copy_release(struct replica *r)
{
    must(r->copy_holders > 0);
    if (--r->copy_holders > 0)
        return;
    r->copy_made = false;
    recovery_remove_dir(r->dir, "outgoing");
}

void replica_copy_sent(struct replica *r, uint64_t peer, uint64_t index)
{
    raft_snapshot_done(r->raft, peer, index);
    replica_mark(r);
}

void replica_copy_failed(struct replica *r, uint64_t peer)
{
    raft_snapshot_failed(r->raft, peer);
    replica_mark(r);
}

/* ---- in: a copy from the leader */

enum err replica_incoming(struct replica *r, char *path, size_t size, struct reason *why)
{
    if (r->install_out || r->restoring)
        return reason_set(why, ERR_BUSY, "another state is being installed");
    return make_empty_dir(r, "incoming", path, size, why);
}

bool replica_wants_copy(const struct replica *r, uint64_t index)
{
    return !r->install_out && !r->restoring && raft_snapshot_wanted(r->raft, index);
}

static void incoming_path(const struct replica *r, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%.4000s/incoming/data.mdb", r->dir);
}

static enum err open_incoming(struct replica *r, bool read_only, struct state **out,
                              struct reason *why)
{
    char dir[PATH_MAX + 16];
    struct state_options o = r->state_options;
    o.read_only = read_only;
    snprintf(dir, sizeof dir, "%s/incoming", r->dir);
    return state_open(out, dir, &o, why);
}

static enum err check_incoming(struct install_job *j)
{
    struct state *s;
    enum err e = open_incoming(j->replica, true, &s, &j->why);
    if (e != OK)
        return e;
    struct view *v = state_read(s);
    uint64_t index = view_meta(v)->applied_index - state_index_offset(v);
    j->members_len = state_members(v, j->members, sizeof j->members);
    bool right = index == j->index && view_meta(v)->applied_term == j->term && !view_failed(v);
    view_abort(v);
    state_close(s);
    return right ? OK
                 : reason_set(&j->why, ERR_CORRUPT, "a state at %llu came as one at %llu",
                              (unsigned long long)index, (unsigned long long)j->index);
}

static void install_work(struct worker_job *job)
{
    struct install_job *j = (struct install_job *)(void *)job;
    char path[PATH_MAX];
    incoming_path(j->replica, path);
    j->result = sync_file(path, NULL, &j->why);
    if (j->result == OK)
        j->result = check_incoming(j);
    if (j->result == OK)
        j->result = checkpoint_from(j->replica->dir, path, j->index, &j->why);
}

static void install_end(struct replica *r, enum err e, const char *why)
{
    struct install_job *j = &r->install;
    r->install_out = r->install_ready = false;
    if (e != OK)
        recovery_remove_dir(r->dir, "incoming");
    if (j->done != NULL)
        j->done(j->owner, e, why);
    replica_mark(r);
}

static void install_done(struct worker_job *job)
{
    struct install_job *j = (struct install_job *)(void *)job;
    struct replica *r = j->replica;
    if (j->result != OK) {
        log_warn("state_not_installed", "reason=%s", log_quote(j->why.text));
        install_end(r, j->result, j->why.text);
        return;
    }
    r->install_ready = true;
    replica_mark(r);
}

void replica_install(struct replica *r, uint64_t index, uint64_t term,
                     void (*done)(void *owner, enum err e, const char *why), void *owner)
{
    must(!r->install_out && !r->restoring);
    r->install_out = true;
    r->install = (struct install_job){.replica = r,
                                      .index = index,
                                      .term = term,
                                      .done = done,
                                      .owner = owner,
                                      .job = {.work = install_work, .done = install_done}};
    worker_submit(r->copier, &r->install.job);
}

/* Closes the state of now and opens the incoming one in its place. */
static bool exchange(struct replica *r, uint64_t index)
{
    struct reason why;
    char dir[PATH_MAX + 16];
    state_close(r->state);
    r->state = NULL;
    enum err e = recovery_swap(r->dir, r->log, index, &why);
    snprintf(dir, sizeof dir, "%s/state", r->dir);
    if (e == OK)
        e = state_open(&r->state, dir, &r->state_options, &why);
    if (e != OK)
        replica_break(r, "a new state cannot be installed", &why);
    return e == OK;
}

static void take_over(struct replica *r, struct install_job *j)
{
    struct raft_member members[RAFT_MAX_MEMBERS];
    size_t count = 0;
    if (!raft_snapshot_wanted(r->raft, j->index)) {
        install_end(r, OK, "");
        return;
    }
    if (!raft_members_decode(j->members, j->members_len, members, &count)) {
        install_end(r, ERR_CORRUPT, "a state whose members cannot be read");
        return;
    }
    if (!exchange(r, j->index))
        return;
    r->given_count = 0;
    must(raft_snapshot_installed(r->raft, j->index, j->term, members, count));
    struct view *v = state_read(r->state);
    r->last_time = view_meta(v)->last_time > r->last_time ? view_meta(v)->last_time : r->last_time;
    view_abort(v);
    r->applied = j->index;
    r->applied_term = j->term;
    r->installs++;
    r->checkpoint_before = j->index;
    log_info("state_installed", "index=%llu term=%llu", (unsigned long long)j->index,
             (unsigned long long)j->term);
    install_end(r, OK, "");
    r->options.settled(r->options.self, r->applied);
}

/* ---- in: a saved state, through the log */

static enum err write_parts(struct replica *r, const Pb__RestorePart *end, const char *path,
                            struct reason *why)
{
    struct view *v = state_read(r->state);
    struct bytes part;
    uint64_t offset = 0;
    uint32_t crc = 0;
    enum err e = OK;
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0640);
    if (fd < 0)
        e = reason_errno(why, ERR_IO, "make %s", path);
    while (e == OK && offset < end->size && state_incoming_at(v, offset, &part)) {
        if (pwrite(fd, part.data, part.len, (off_t)offset) != (ssize_t)part.len)
            e = reason_errno(why, ERR_IO, "write %s", path);
        crc = crc32c(crc, part.data, part.len);
        offset += part.len;
    }
    view_abort(v);
    if (fd >= 0)
        close(fd);
    if (e == OK && (offset != end->size || crc != end->crc))
        e = reason_set(why, ERR_CORRUPT, "the saved state did not come whole: restore it again");
    return e;
}

/* Its records as they are; members, indexes and the feed those of this cluster. */
static enum err rebase_incoming(struct install_job *j, const uint8_t *request_id, int64_t time)
{
    struct replica *r = j->replica;
    struct state *s;
    enum err e = open_incoming(r, false, &s, &j->why);
    if (e != OK)
        return reason_set(&j->why, ERR_CORRUPT, "the saved state cannot be opened");
    struct view *v = state_write(s);
    uint64_t theirs = view_meta(v)->applied_index, offset = j->offset;
    if (theirs >= j->index + offset)
        offset = theirs + 1 - j->index;
    Pb__Outcome out = PB__OUTCOME__INIT;
    out.has_code = out.has_index = true;
    out.index = j->index + offset;
    state_command_begin(v, out.index, j->term, time, request_id);
    state_rebase(v, offset, j->members, j->members_len);
    state_put_outcome(v, request_id, &out);
    state_command_end(v);
    e = view_commit(v, &j->why);
    if (e == OK)
        e = store_sync(state_store(s), &j->why);
    state_close(s);
    return e;
}

static void restore_work(struct worker_job *job)
{
    struct install_job *j = (struct install_job *)(void *)job;
    struct replica *r = j->replica;
    char path[PATH_MAX];
    j->result = make_empty_dir(r, "incoming", path, sizeof path, &j->why);
    if (j->result == OK)
        j->result = write_parts(r, j->end->restore_part, path, &j->why);
    if (j->result == OK)
        j->result = rebase_incoming(j, j->end->request_id.data, j->end->time);
    if (j->result == OK)
        j->result = checkpoint_from(r->dir, path, j->index, &j->why);
}

/* The same on every replica, since all have the same parts. */
static void restore_refused(struct replica *r, struct install_job *j)
{
    struct reason why;
    struct view *v = state_write(r->state);
    Pb__Outcome *out = apply_refused(v, j->end, j->index + j->offset, j->term, j->why.text);
    r->options.applied(r->options.self, j->index, out);
    enum err e = view_commit(v, &why);
    if (e != OK) {
        replica_break(r, "the state cannot be written", &why);
        return;
    }
    recovery_remove_dir(r->dir, "incoming");
    r->restoring = false;
    replica_restored(r);
    replica_mark(r);
}

static void restore_done(struct worker_job *job)
{
    struct install_job *j = (struct install_job *)(void *)job;
    struct replica *r = j->replica;
    if (j->result == ERR_CORRUPT) {
        restore_refused(r, j);
    } else if (j->result != OK) {
        replica_break(r, "a saved state cannot be restored", &j->why);
    } else {
        r->install_ready = true;
        replica_mark(r);
    }
}

void replica_restore_begin(struct replica *r, const struct raft_entry *end)
{
    struct install_job *j = &r->install;
    if (r->install_out)
        return; /* one thing after the other: the next step tries again */
    *j = (struct install_job){.replica = r, .index = end->index, .term = end->term};
    arena_reset(r->restore_arena);
    j->end = WIRE_UNPACK(r->restore_arena, Pb__Command, pb__command, end->data, end->len);
    struct view *v = state_read(r->state);
    j->offset = state_index_offset(v);
    j->members_len = state_members(v, j->members, sizeof j->members);
    view_abort(v);
    r->restoring = true;
    j->job = (struct worker_job){.work = restore_work, .done = restore_done};
    worker_submit(r->copier, &j->job);
}

static void restore_finish(struct replica *r, struct install_job *j)
{
    if (!exchange(r, j->index))
        return;
    struct view *v = state_read(r->state);
    Pb__Outcome *out = state_outcome(v, r->restore_arena, j->end->request_id.data);
    view_abort(v);
    must(out != NULL);
    log_info("state_restored", "index=%llu", (unsigned long long)out->index);
    r->install_ready = r->restoring = false;
    r->options.applied(r->options.self, j->index, out);
    replica_restored(r);
    replica_mark(r);
}

void replica_install_maybe(struct replica *r)
{
    if (!r->install_ready || r->write_out || r->checkpoint_out || r->copy_out || r->broken)
        return;
    if (r->restoring)
        restore_finish(r, &r->install);
    else
        take_over(r, &r->install);
}
