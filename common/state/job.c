/* Jobs, their older versions, and what apply keeps for them: the summary that is shown and the
 * counts its status follows from. */
#include "state/internal.h"
#include "wire/template.h"
#include <stdlib.h>
#include <string.h>

const char *const job_status_names[] = {
    [JOB_PENDING] = "pending", [JOB_RUNNING] = "running", [JOB_DEAD] = "dead"};

static Pb__Job *job_at(struct view *v, struct arena *a, unsigned table, const struct key *k)
{
    return (Pb__Job *)record_message(v, a, table, key_bytes(k), &pb__job__descriptor);
}

Pb__Job *state_job(struct view *v, struct arena *a, const char *ns, const char *id)
{
    struct key k;
    return key_job(&k, ns, id) ? job_at(v, a, T_JOBS, &k) : NULL;
}

Pb__Job *state_job_version(struct view *v, struct arena *a, const char *ns, const char *id,
                           uint64_t version)
{
    struct key k;
    Pb__Job *current = state_job(v, a, ns, id);
    if (current == NULL || current->version == version)
        return current;
    if (!key_job_prefix(&k, ns, id))
        return NULL;
    key_add_u64(&k, version);
    return job_at(v, a, T_JOB_VERSIONS, &k);
}

Pb__JobSummary *state_summary(struct view *v, struct arena *a, const char *ns, const char *id)
{
    struct key k;
    if (!key_job(&k, ns, id))
        return NULL;
    return (Pb__JobSummary *)record_message(v, a, T_SUMMARIES, key_bytes(&k),
                                            &pb__job_summary__descriptor);
}

/* ---- status */

bool counts_get(struct view *v, struct bytes job_key, struct job_counts *out)
{
    struct bytes b;
    if (!txn_get(v->txn, T_JOB_COUNTS, job_key, &b))
        return false;
    if (b.len != sizeof *out) {
        txn_fail(v->txn, ERR_CORRUPT, "a job's counts have another size");
        return false;
    }
    memcpy(out, b.data, sizeof *out);
    return true;
}

uint64_t state_planned_index(struct view *v, const char *ns, const char *id)
{
    struct key k;
    struct job_counts c;
    return key_job(&k, ns, id) && counts_get(v, key_bytes(&k), &c) ? c.planned_index : 0;
}

enum job_status job_status_of(const struct job_counts *c)
{
    if (c->wanted > 0)
        return JOB_RUNNING;
    if (c->stopped != 0)
        return JOB_DEAD;
    if (c->standing != 0)
        return JOB_RUNNING;
    if (c->open_evals > 0)
        return JOB_PENDING;
    /* What was dead stays so when the last trace of its life is collected. */
    return c->allocs > 0 || c->evals > 0 || c->status != JOB_PENDING ? JOB_DEAD : JOB_PENDING;
}

/* ---- edits: one per job and command */

static struct job_edit *edit_add(struct view *v, const struct key *k, const char *ns,
                                 const char *id)
{
    struct job_edit *j = arena_alloc(v->arena, sizeof *j);
    j->ns = arena_strdup(v->arena, namespace_or_default(ns));
    j->id = arena_strdup(v->arena, id);
    map_put(v->jobs, k->data, k->len, j);
    *v->job_last = j;
    v->job_last = &j->next;
    return j;
}

struct job_edit *job_edit(struct view *v, const char *ns, const char *id, uint64_t created)
{
    struct key k;
    struct job_counts counts;
    must(key_job(&k, ns, id));
    struct job_edit *j = map_get(v->jobs, k.data, k.len);
    if (j == NULL) {
        if (!counts_get(v, key_bytes(&k), &counts))
            return NULL;
        j = edit_add(v, &k, ns, id);
        j->counts = counts;
    }
    if (j->deleted || (created != 0 && created != j->counts.create_index))
        return NULL;
    return j;
}

Pb__Job *job_edit_record(struct view *v, struct job_edit *j)
{
    if (j->job == NULL)
        j->job = state_job(v, v->arena, j->ns, j->id);
    return j->job;
}

const Pb__Job *job_edit_peek(struct view *v, const struct job_edit *j)
{
    return j->job != NULL ? j->job : state_job(v, v->arena, j->ns, j->id);
}

const Pb__JobSummary *job_edit_summary(struct view *v, const struct job_edit *j)
{
    return j->summary != NULL ? j->summary : state_summary(v, v->arena, j->ns, j->id);
}

Pb__JobSummary *summary_edit(struct view *v, struct job_edit *j)
{
    if (j->summary == NULL)
        j->summary = state_summary(v, v->arena, j->ns, j->id);
    must(j->summary != NULL || txn_failed(v->txn));
    j->summary_changed = true;
    return j->summary;
}

/* A template has no allocations itself, on whatever node. */
static bool is_for_each_node(const Pb__Job *job)
{
    return job->type != NULL && !job->stop && !job_is_template(job) &&
           (strcmp(job->type, "system") == 0 || strcmp(job->type, "sysbatch") == 0);
}

void state_each_system_job(struct view *v, void *self,
                           void (*visit)(void *self, const char *ns, const char *id))
{
    struct cursor c;
    char key[STORE_MAX_KEY + 1];
    cursor_open(&c, v->txn, T_SYSTEM_JOBS);
    for (bool found = cursor_first(&c); found; found = cursor_next(&c)) {
        memcpy(key, c.key.data, c.key.len); /* namespace, 0, id */
        key[c.key.len] = '\0';
        visit(self, key, key + strlen(key) + 1);
    }
    cursor_close(&c);
}

/* What follows from the counts: its status, and what its parent says of its children. */
static void edit_settle(struct view *v, struct job_edit *j)
{
    enum job_status status = job_status_of(&j->counts), before = j->counts.status;
    if (status == before && !j->is_new)
        return;
    if (j->job == NULL)
        j->job = state_job(v, v->arena, j->ns, j->id);
    if (j->job == NULL)
        return; /* the transaction has failed */
    if (!j->is_new)
        children_drop(v, j->job, before);
    children_add(v, j->job, status);
    j->is_new = false;
    j->counts.status = status;
    j->counts_changed = true;
}

static void edit_flush(struct view *v, struct job_edit *j)
{
    struct key k;
    key_job(&k, j->ns, j->id);
    if (j->job != NULL) {
        j->counts_changed = true;
        j->job->status = (char *)(uintptr_t)job_status_names[j->counts.status];
        j->job->has_modify_index = true;
        j->job->modify_index = v->index;
        record_put(v, T_JOBS, key_bytes(&k), &j->job->base);
        if (is_for_each_node(j->job))
            txn_put(v->txn, T_SYSTEM_JOBS, key_bytes(&k), bytes_of("", 0));
        else
            txn_del(v->txn, T_SYSTEM_JOBS, key_bytes(&k));
    }
    if (j->counts_changed)
        txn_put(v->txn, T_JOB_COUNTS, key_bytes(&k), bytes_of(&j->counts, sizeof j->counts));
    if (j->summary_changed && j->summary != NULL) {
        j->summary->has_modify_index = true;
        j->summary->modify_index = v->index;
        record_put(v, T_SUMMARIES, key_bytes(&k), &j->summary->base);
    }
}

void state_settle_jobs(struct view *v)
{
    for (struct job_edit *j = v->job_first; j != NULL; j = j->next) /* adds parents at the end */
        if (!j->deleted && !txn_failed(v->txn))
            edit_settle(v, j);
}

void job_edits_flush(struct view *v)
{
    state_settle_jobs(v);
    for (struct job_edit *j = v->job_first; j != NULL; j = j->next)
        if (!j->deleted && !txn_failed(v->txn))
            edit_flush(v, j);
}

/* ---- the summary */

static Pb__GroupSummary *group_find(const Pb__JobSummary *s, const char *name)
{
    for (size_t i = 0; s != NULL && i < s->n_summary; i++)
        if (strcmp(s->summary[i]->name, name) == 0)
            return s->summary[i];
    return NULL;
}

uint32_t *summary_bucket(Pb__GroupSummary *g, const Pb__Alloc *a)
{
    switch (a->client_status) {
    case PB__ALLOC__CLIENT_STATUS__RUNNING:
        g->has_running = true;
        return &g->running;
    case PB__ALLOC__CLIENT_STATUS__COMPLETE:
        g->has_complete = true;
        return &g->complete;
    case PB__ALLOC__CLIENT_STATUS__FAILED:
        g->has_failed = true;
        return &g->failed;
    case PB__ALLOC__CLIENT_STATUS__LOST:
        g->has_lost = true;
        return &g->lost;
    default:
        g->has_starting = true;
        return &g->starting;
    }
}

void summary_move(struct view *v, struct job_edit *j, const char *group, const Pb__Alloc *from,
                  const Pb__Alloc *to)
{
    if (from != NULL && from->client_status == to->client_status)
        return;
    Pb__GroupSummary *g = group_find(summary_edit(v, j), group);
    if (g == NULL)
        return;
    if (from != NULL)
        --*summary_bucket(g, from);
    ++*summary_bucket(g, to);
}

void summary_remove(struct view *v, struct job_edit *j, const Pb__Alloc *a)
{
    Pb__GroupSummary *g = group_find(summary_edit(v, j), a->task_group);
    if (g != NULL)
        --*summary_bucket(g, a);
}

void state_set_queued(struct view *v, const char *ns, const char *id, size_t count,
                      Pb__CountOf *const *queued)
{
    struct job_edit *j = job_edit(v, ns, id, 0);
    if (j == NULL)
        return;
    bool was_changed = j->summary_changed, changed = false;
    Pb__JobSummary *s = summary_edit(v, j);
    for (size_t i = 0; s != NULL && i < s->n_summary; i++) {
        uint32_t n = 0;
        for (size_t k = 0; k < count; k++)
            if (strcmp(queued[k]->name, s->summary[i]->name) == 0)
                n = queued[k]->count;
        changed |= s->summary[i]->queued != n;
        s->summary[i]->has_queued = true;
        s->summary[i]->queued = n;
    }
    j->summary_changed = was_changed || changed;
}

static bool group_is_empty(const Pb__GroupSummary *g)
{
    return g->queued + g->starting + g->running + g->complete + g->failed + g->lost == 0;
}

/* The groups of job in their order, then those it had before that still count something. */
static void summary_follow_job(struct view *v, struct job_edit *j, const Pb__Job *job)
{
    Pb__JobSummary *s = j->summary;
    size_t old_count = s->n_summary, n = 0;
    Pb__GroupSummary **old = s->summary;
    Pb__GroupSummary **groups =
        arena_array(v->arena, Pb__GroupSummary *, old_count + job->n_task_groups + 1);
    for (size_t i = 0; i < job->n_task_groups; i++) {
        groups[n] = group_find(s, job->task_groups[i]->name);
        if (groups[n] == NULL) {
            groups[n] = arena_alloc(v->arena, sizeof **groups);
            pb__group_summary__init(groups[n]);
            groups[n]->name = job->task_groups[i]->name;
        }
        n++;
    }
    size_t of_job = n;
    for (size_t i = 0; i < old_count; i++) {
        bool known = false;
        for (size_t k = 0; k < of_job; k++)
            known |= groups[k] == old[i];
        if (!known && !group_is_empty(old[i]))
            groups[n++] = old[i];
    }
    bool changed = n != old_count || (n > 0 && memcmp(groups, old, n * sizeof *groups) != 0);
    s->summary = groups;
    s->n_summary = n;
    j->summary_changed |= changed;
}

static void summary_new(struct view *v, struct job_edit *j, const Pb__Job *job)
{
    j->summary = arena_alloc(v->arena, sizeof *j->summary);
    pb__job_summary__init(j->summary);
    j->summary->namespace_ = (char *)(uintptr_t)j->ns;
    j->summary->job_id = (char *)(uintptr_t)j->id;
    j->summary->has_create_index = true;
    j->summary->create_index = v->index;
    j->summary_changed = true;
}

/* ---- versions */

static bool version_is_used(struct view *v, struct arena *a, const Pb__Job *job, uint64_t version)
{
    struct walk w;
    const uint8_t *id;
    bool used = false;
    walk_open(&w, v, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, job->namespace_, job->id, NULL,
              NULL);
    while (!used && (id = walk_next(&w)) != NULL) {
        Pb__Alloc *alloc = state_alloc(v, a, id);
        used = alloc != NULL && alloc->job_version == version && !alloc_has_ended(alloc);
        arena_reset(a);
    }
    walk_close(&w);
    return used;
}

/* Of these, in their order; UINT64_MAX: none is. */
static uint64_t newest_stable(struct view *v, struct arena *a, const struct key *prefix,
                              const uint64_t *versions, size_t n)
{
    while (n-- > 0) {
        struct key k = *prefix;
        key_add_u64(&k, versions[n]);
        const Pb__Job *job = job_at(v, a, T_JOB_VERSIONS, &k);
        bool stable = job != NULL && job->stable;
        arena_reset(a);
        if (stable)
            return versions[n];
    }
    return UINT64_MAX;
}

static void versions_prune(struct view *v, const Pb__Job *job)
{
    struct key prefix;
    struct cursor c;
    uint64_t *versions = NULL;
    size_t n = 0;
    key_job_prefix(&prefix, job->namespace_, job->id);
    cursor_open(&c, v->txn, T_JOB_VERSIONS);
    bool found = cursor_seek(&c, key_bytes(&prefix));
    for (; found && bytes_begin_with(c.key, key_bytes(&prefix)); found = cursor_next(&c)) {
        versions = xrealloc(versions, (n + 1) * sizeof *versions);
        versions[n++] = u64_load_be((const uint8_t *)c.key.data + prefix.len);
    }
    cursor_close(&c);
    struct arena *scratch = arena_new(WIRE_MAX_UNPACKED);
    uint64_t stable = n > STATE_VERSIONS_KEPT ? newest_stable(v, scratch, &prefix, versions, n) : 0;
    for (size_t i = 0; i + STATE_VERSIONS_KEPT < n; i++) {
        if (versions[i] == stable || version_is_used(v, scratch, job, versions[i]))
            continue;
        struct key k = prefix;
        key_add_u64(&k, versions[i]);
        record_del(v, T_JOB_VERSIONS, key_bytes(&k));
    }
    arena_free(scratch);
    free(versions);
}

static void keep_version(struct view *v, const Pb__Job *old)
{
    struct key k;
    key_job_prefix(&k, old->namespace_, old->id);
    key_add_u64(&k, old->version);
    record_put(v, T_JOB_VERSIONS, key_bytes(&k), &old->base);
    versions_prune(v, old);
}

/* ---- put and delete */

void state_put_job(struct view *v, Pb__Job *job)
{
    struct key k;
    must(key_job(&k, job->namespace_, job->id));
    Pb__Job *old = job_at(v, v->arena, T_JOBS, &k);
    struct job_edit *j = job_edit(v, job->namespace_, job->id, 0);
    if (old != NULL && old->version != job->version)
        keep_version(v, old);
    if (j == NULL) {
        j = edit_add(v, &k, job->namespace_, job->id);
        j->is_new = true;
        j->counts.create_index = job->create_index;
        summary_new(v, j, job);
    } else if (j->summary == NULL) {
        j->summary = state_summary(v, v->arena, j->ns, j->id);
    }
    must(j->summary != NULL || txn_failed(v->txn));
    if (j->summary != NULL)
        summary_follow_job(v, j, job);
    j->counts.stopped = job->stop;
    j->counts.standing =
        (job->type != NULL && strcmp(job->type, "system") == 0) || job_is_template(job);
    j->job = job;
    if (old == NULL)
        token_keep(v, job);
    gate_follow_job(v, j, old, job);
}

static void versions_delete(struct view *v, const char *ns, const char *id)
{
    struct key prefix, k;
    key_job_prefix(&prefix, ns, id);
    for (;;) {
        struct cursor c;
        cursor_open(&c, v->txn, T_JOB_VERSIONS);
        bool found =
            cursor_seek(&c, key_bytes(&prefix)) && bytes_begin_with(c.key, key_bytes(&prefix));
        k.len = 0;
        if (found)
            key_add(&k, c.key.data, c.key.len);
        cursor_close(&c);
        if (!found)
            return;
        record_del(v, T_JOB_VERSIONS, key_bytes(&k));
    }
}

bool state_delete_job(struct view *v, const char *ns, const char *id)
{
    struct key k;
    struct bytes b;
    struct job_counts counts;
    Pb__Job *job = state_job(v, v->arena, ns, id);
    if (job == NULL || !key_job(&k, ns, id) || !counts_get(v, key_bytes(&k), &counts))
        return false;
    struct job_edit *j = job_edit(v, ns, id, 0);
    must(j != NULL);
    queue_leave(v, j);
    gate_forget_job(v, j, job);
    token_forget(v, job);
    children_drop(v, job, counts.status);
    record_del(v, T_JOBS, key_bytes(&k));
    record_del(v, T_SUMMARIES, key_bytes(&k));
    if (txn_get(v->txn, T_SCALING_EVENTS, key_bytes(&k), &b))
        record_del(v, T_SCALING_EVENTS, key_bytes(&k));
    txn_del(v->txn, T_JOB_COUNTS, key_bytes(&k));
    txn_del(v->txn, T_SYSTEM_JOBS, key_bytes(&k));
    versions_delete(v, ns, id);
    map_remove(v->jobs, k.data, k.len);
    j->deleted = true;
    return true;
}
