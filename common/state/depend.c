/* Jobs that wait for others (depends_on). A job has a gate: closed when it is registered with
 * dependencies, started again, or given other ones; opened, and left open, by what they come to.
 * While it is closed each evaluation of the job is held: blocked, with what it waits for as its
 * description, the newest one only. */
#include "base/map.h"
#include "state/internal.h"
#include "wire/held.h"
#include "wire/template.h"
#include <stdlib.h>
#include <string.h>

/* ---- who waits for whom: a key for each job and each one it waits for, the latter by its hash
 * (two names do not fit into one key). Jobs of equal hash cost a look in vain. */

static void awaited_key(struct key *k, const char *ns, const char *awaited)
{
    struct key name;
    k->len = 0;
    if (!key_job(&name, ns, awaited))
        name.len = 0;
    key_add_u64(k, hash_bytes(name.data, name.len, 0));
}

static void dependent_key(struct key *k, const Pb__Job *job, const char *awaited)
{
    struct key own;
    awaited_key(k, job->namespace_, awaited);
    must(key_job(&own, job->namespace_, job->id));
    key_add(k, own.data, own.len);
}

static void dependents_note(struct view *v, const Pb__Job *job, bool present)
{
    struct key k;
    for (size_t i = 0; job != NULL && i < job->n_depends_on; i++) {
        if (job->depends_on[i]->job == NULL)
            continue;
        dependent_key(&k, job, job->depends_on[i]->job);
        if (present)
            txn_put(v->txn, T_DEPENDENTS, key_bytes(&k), bytes_of("", 0));
        else
            txn_del(v->txn, T_DEPENDENTS, key_bytes(&k));
    }
}

/* ---- whether an awaited job has come so far */

static bool is_batch(const Pb__Job *job)
{
    return job->type != NULL && strcmp(job->type, "batch") == 0;
}

/* The newest allocation of each place of a batch job, or of each node of a sysbatch job. */
struct places {
    struct arena *arena;
    const Pb__Job *job;
    struct map *newest; /* group, then index or node -> whether it is complete: place_states */
    uint64_t complete, other;
};

static char place_states[2];

static void place_see(struct places *p, const Pb__Alloc *a)
{
    struct key k = {.len = 0};
    size_t len = strlen(a->task_group);
    key_add(&k, a->task_group, (len < 400 ? len : 400) + 1);
    if (is_batch(p->job))
        key_add_u64(&k, a->name_index);
    else
        key_add(&k, a->node_id.data, ID_SIZE);
    bool complete = a->client_status == PB__ALLOC__CLIENT_STATUS__COMPLETE;
    char *before = map_put(p->newest, k.data, k.len, &place_states[complete]);
    if (before != NULL)
        --*(before == &place_states[1] ? &p->complete : &p->other);
    ++*(complete ? &p->complete : &p->other);
}

static bool group_is_of(const Pb__Job *job, const Pb__Alloc *a, uint64_t *count)
{
    for (size_t i = 0; i < job->n_task_groups; i++)
        if (strcmp(job->task_groups[i]->name, a->task_group) == 0) {
            *count = job->task_groups[i]->count;
            return true;
        }
    return false;
}

/* Every allocation that it is to have has been, and ended well: one that failed and was replaced
 * does not count, its replacement does. */
static bool all_complete(struct view *v, const Pb__Job *job, uint64_t create_index)
{
    struct walk w;
    const uint8_t *id;
    uint64_t wanted = 0, count = 0;
    struct places p = {.arena = arena_new(WIRE_MAX_UNPACKED), .job = job, .newest = map_new()};
    walk_open(&w, v, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, job->namespace_, job->id, NULL,
              NULL);
    while ((id = walk_next(&w)) != NULL) {
        Pb__Alloc *a = state_alloc(v, p.arena, id);
        if (a != NULL && a->job_create_index == create_index && group_is_of(job, a, &count) &&
            (!is_batch(job) || a->name_index < count))
            place_see(&p, a);
        arena_reset(p.arena);
    }
    walk_close(&w);
    for (size_t i = 0; i < job->n_task_groups; i++)
        wanted += job->task_groups[i]->count;
    map_free(p.newest);
    arena_free(p.arena);
    return p.other == 0 && (is_batch(job) ? p.complete >= wanted : p.complete > 0);
}

static bool all_running(struct view *v, const struct job_edit *j, const Pb__Job *job)
{
    const Pb__JobSummary *s = job_edit_summary(v, j);
    for (size_t i = 0; i < job->n_task_groups; i++) {
        uint32_t running = 0;
        for (size_t k = 0; s != NULL && k < s->n_summary; k++)
            if (strcmp(s->summary[k]->name, job->task_groups[i]->name) == 0)
                running = s->summary[k]->running;
        if (running < job->task_groups[i]->count)
            return false;
    }
    return true;
}

/* The job's present version is through with its deployment, if it has one. */
static bool is_deployed(struct view *v, const Pb__Job *job)
{
    const Pb__Deployment *d = state_latest_deployment(v, v->arena, job->namespace_, job->id);
    return d == NULL || d->job_create_index != job->create_index ||
           d->job_version != job->version || d->status == PB__DEPLOYMENT__STATUS__SUCCESSFUL;
}

/* The job as the command in hand has it so far; it need not be one that the command changes. */
static bool look_up(struct view *v, const char *ns, const char *id, struct job_edit *out)
{
    struct key k;
    if (!key_job(&k, ns, id))
        return false;
    const struct job_edit *known = map_get(v->jobs, k.data, k.len);
    *out = known != NULL ? *known : (struct job_edit){.ns = ns, .id = id};
    return known != NULL ? !known->deleted : counts_get(v, key_bytes(&k), &out->counts);
}

/* What keeps it from that; NULL: nothing. */
static const char *lack_of(struct view *v, const char *ns, const Pb__Dependency *d)
{
    bool healthy = d->condition != NULL && strcmp(d->condition, "healthy") == 0;
    struct job_edit j;
    bool there = d->job != NULL && look_up(v, ns, d->job, &j);
    const Pb__Job *job = there ? job_edit_peek(v, &j) : NULL;
    if (job == NULL)
        return "not registered";
    if (job->stop)
        return "stopped";
    enum job_status status = job_status_of(&j.counts);
    if (healthy)
        return status != JOB_RUNNING      ? job_status_names[status]
               : !all_running(v, &j, job) ? "not all of it is running"
               : !is_deployed(v, job)     ? "its deployment goes on"
                                          : NULL;
    bool ends = job->type != NULL && strstr(job->type, "batch") != NULL && !job_is_template(job);
    if (!ends)
        return "of a type that is never complete";
    return status != JOB_DEAD                            ? job_status_names[status]
           : all_complete(v, job, j.counts.create_index) ? NULL
                                                         : "dead, and not all of it complete";
}

/* What the job waits for, in v's arena; NULL: nothing. */
static char *waits_for(struct view *v, const Pb__Job *job)
{
    struct strbuf s = STRBUF_INIT;
    for (size_t i = 0; i < job->n_depends_on; i++) {
        const Pb__Dependency *d = job->depends_on[i];
        const char *lack = lack_of(v, job->namespace_, d);
        if (lack != NULL)
            strbuf_printf(&s, "%s job \"%s\" to be %s (%s)", s.len == 0 ? "waits for" : ",", d->job,
                          d->condition, lack);
    }
    char *text = s.len > 0 ? arena_strdup(v->arena, strbuf_text(&s)) : NULL;
    strbuf_free(&s);
    return text;
}

/* ---- the held evaluation */

static Pb__Eval *held_eval(struct view *v, const struct job_edit *j)
{
    struct key k;
    struct bytes b;
    if (!key_job(&k, j->ns, j->id) || !txn_get(v->txn, T_HELD, key_bytes(&k), &b) ||
        b.len != ID_SIZE)
        return NULL;
    uint8_t id[ID_SIZE];
    memcpy(id, b.data, ID_SIZE);
    return state_eval(v, v->arena, id);
}

static void cancel(struct view *v, Pb__Eval *e, const char *why)
{
    e->status = PB__EVAL__STATUS__CANCELLED;
    e->status_description = (char *)(uintptr_t)why;
    state_put_eval(v, e);
}

static void describe_job(struct view *v, struct job_edit *j, char *text)
{
    Pb__Job *job = job_edit_record(v, j);
    if (job != NULL)
        job->status_description = text;
}

static void gate_open(struct view *v, struct job_edit *j)
{
    j->counts.gate = 0;
    j->counts_changed = true;
    describe_job(v, j, NULL);
}

void gate_hold(struct view *v, struct job_edit *j, Pb__Eval *eval)
{
    bool open =
        eval->status == PB__EVAL__STATUS__PENDING || eval->status == PB__EVAL__STATUS__BLOCKED;
    const Pb__Job *job = open && j->counts.gate != 0 ? job_edit_peek(v, j) : NULL;
    if (job == NULL)
        return;
    char *text = waits_for(v, job);
    if (text == NULL) {
        gate_open(v, j);
        return;
    }
    eval->status = PB__EVAL__STATUS__BLOCKED;
    eval->status_description = text;
    eval->has_snapshot_index = false;
    describe_job(v, j, text);
}

void gate_note(struct view *v, struct job_edit *j, const Pb__Eval *eval)
{
    struct key k;
    bool open =
        eval->status == PB__EVAL__STATUS__PENDING || eval->status == PB__EVAL__STATUS__BLOCKED;
    Pb__Eval *older = held_eval(v, j);
    bool same = older != NULL && id_equal(older->id.data, eval->id.data);
    must(key_job(&k, j->ns, j->id));
    if (older != NULL && (same ? !eval_is_held(eval) : open))
        txn_del(v->txn, T_HELD, key_bytes(&k));
    if (eval_is_held(eval))
        txn_put(v->txn, T_HELD, key_bytes(&k), id_bytes(eval->id.data));
    if (older != NULL && !same && open)
        cancel(v, older, "a newer evaluation of the job takes its place");
}

/* ---- jobs that come, change and go */

static bool same_dependencies(const Pb__Job *a, const Pb__Job *b)
{
    if (a->n_depends_on != b->n_depends_on)
        return false;
    for (size_t i = 0; i < a->n_depends_on; i++) {
        const Pb__Dependency *x = a->depends_on[i], *y = b->depends_on[i];
        if (strcmp(x->job == NULL ? "" : x->job, y->job == NULL ? "" : y->job) != 0 ||
            strcmp(x->condition == NULL ? "" : x->condition,
                   y->condition == NULL ? "" : y->condition) != 0)
            return false;
    }
    return true;
}

/* What was to be planned must not be planned behind a closed gate; nor what an earlier job of this
 * name has left, for a plan sees only the present one. */
static void cancel_open_evals(struct view *v, const Pb__Job *job)
{
    struct walk w;
    const uint8_t *id;
    ProtobufCBinaryData *ids = NULL;
    size_t n = 0;
    walk_open(&w, v, PB__TABLE__NAME__EVALS, PB__LIST__BY__JOB, job->namespace_, job->id, NULL,
              NULL);
    while ((id = walk_next(&w)) != NULL) {
        ids = xrealloc(ids, (n + 1) * sizeof *ids);
        ids[n++] = wire_id(v->arena, id);
    }
    walk_close(&w);
    for (size_t i = 0; i < n; i++) {
        Pb__Eval *e = state_eval(v, v->arena, ids[i].data);
        if (e != NULL &&
            (e->status == PB__EVAL__STATUS__PENDING || e->status == PB__EVAL__STATUS__BLOCKED))
            cancel(v, e, "the job waits for others now");
    }
    free(ids);
}

void gate_follow_job(struct view *v, struct job_edit *j, const Pb__Job *old, Pb__Job *job)
{
    bool was_closed = j->counts.gate != 0;
    bool waits = job->n_depends_on > 0 && !job->stop && !job_is_template(job);
    bool anew = old == NULL || old->stop || !same_dependencies(old, job);
    if (old == NULL || !same_dependencies(old, job)) {
        dependents_note(v, old, false);
        dependents_note(v, job, true);
    }
    j->counts.gate = waits && (anew || was_closed);
    j->counts_changed |= (j->counts.gate != 0) != was_closed;
    if (was_closed && j->counts.gate == 0)
        job->status_description = NULL;
    if (!was_closed && j->counts.gate != 0)
        cancel_open_evals(v, job);
}

void gate_forget_job(struct view *v, struct job_edit *j, const Pb__Job *job)
{
    Pb__Eval *held = held_eval(v, j);
    j->counts.gate = 0;
    if (held != NULL)
        cancel(v, held, "the job is gone");
    dependents_note(v, job, false);
}

/* ---- when an awaited job has changed */

static void look_again(struct view *v, const char *ns, const char *id)
{
    struct job_edit found;
    const Pb__Job *job = NULL;
    if (look_up(v, ns, id, &found) && found.counts.gate != 0)
        job = job_edit_peek(v, &found);
    if (job == NULL)
        return;
    Pb__Eval *held = held_eval(v, &found);
    char *text = waits_for(v, job);
    bool news = text == NULL || (held != NULL && (held->status_description == NULL ||
                                                  strcmp(text, held->status_description) != 0));
    if (!news)
        return;
    struct job_edit *j = job_edit(v, ns, id, 0);
    must(j != NULL);
    if (text == NULL)
        gate_open(v, j);
    else
        describe_job(v, j, text);
    if (held == NULL)
        return;
    held->status = text == NULL ? PB__EVAL__STATUS__PENDING : PB__EVAL__STATUS__BLOCKED;
    held->status_description = text;
    state_put_eval(v, held);
}

/* Keys are taken along before anything is changed. */
static void dependents_look_again(struct view *v, const struct job_edit *awaited)
{
    struct key prefix;
    struct cursor c;
    char **names = NULL;
    size_t n = 0;
    awaited_key(&prefix, awaited->ns, awaited->id);
    cursor_open(&c, v->txn, T_DEPENDENTS);
    bool found = cursor_seek(&c, key_bytes(&prefix));
    for (; found && bytes_begin_with(c.key, key_bytes(&prefix)); found = cursor_next(&c)) {
        size_t len = c.key.len - prefix.len;
        names = xrealloc(names, (n + 1) * sizeof *names);
        names[n] = arena_alloc(v->arena, len + 1); /* namespace, 0, id */
        memcpy(names[n++], (const char *)c.key.data + prefix.len, len);
    }
    cursor_close(&c);
    for (size_t i = 0; i < n; i++)
        look_again(v, names[i], names[i] + strlen(names[i]) + 1);
    free(names);
}

void state_open_gates(struct view *v)
{
    if (txn_count(v->txn, T_DEPENDENTS) == 0)
        return;
    for (struct job_edit *j = v->job_first; j != NULL && !txn_failed(v->txn); j = j->next)
        dependents_look_again(v, j);
}
