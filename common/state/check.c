/* The invariants, looked at the slow way: everything that is kept is derived again from the
 * allocations. */
#include "state/internal.h"
#include "wire/grant.h"
#include "wire/held.h"
#include "wire/template.h"
#include <stdlib.h>
#include <string.h>

#define holds(cond) must(cond)

static uint64_t count_index(struct view *v, unsigned table)
{
    return txn_count(v->txn, table);
}

static bool index_has(struct view *v, unsigned table, const struct key *k)
{
    struct bytes b;
    return txn_get(v->txn, table, key_bytes(k), &b);
}

/* ---- allocations against their indexes */

static void check_alloc(struct view *v, const Pb__Alloc *a)
{
    struct key k;
    holds(key_job_prefix(&k, a->namespace_, a->job_id));
    key_add(&k, a->id.data, ID_SIZE);
    holds(index_has(v, T_ALLOCS_BY_JOB, &k));
    k.len = 0;
    key_add(&k, a->node_id.data, ID_SIZE);
    key_add(&k, a->id.data, ID_SIZE);
    holds(index_has(v, T_ALLOCS_BY_NODE, &k));
    k.len = 0;
    key_add(&k, a->eval_id.data, ID_SIZE);
    key_add(&k, a->id.data, ID_SIZE);
    holds(index_has(v, T_ALLOCS_BY_EVAL, &k));
    holds(a->create_index <= a->alloc_modify_index && a->alloc_modify_index <= a->modify_index);
}

static void check_allocs(struct view *v, struct arena *a)
{
    struct scan s;
    scan_open(&s, v, PB__TABLE__NAME__ALLOCS, NULL, NULL, NULL);
    while (scan_next(&s)) {
        Pb__Alloc *alloc =
            WIRE_UNPACK(a, Pb__Alloc, pb__alloc, s.record.message.data, s.record.message.len);
        holds(alloc != NULL && alloc->modify_index == s.record.modify_index);
        check_alloc(v, alloc);
        arena_reset(a);
    }
    scan_close(&s);
    uint64_t n = count_index(v, T_ALLOCS);
    holds(count_index(v, T_ALLOCS_BY_JOB) == n && count_index(v, T_ALLOCS_BY_NODE) == n &&
          count_index(v, T_ALLOCS_BY_EVAL) == n);
    holds(count_index(v, T_EVALS) == count_index(v, T_EVALS_BY_JOB));
    holds(count_index(v, T_OUTCOMES) == count_index(v, T_OUTCOME_ORDER) &&
          count_index(v, T_OUTCOMES) == v->meta.outcomes_count);
}

/* ---- usage */

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

struct sum {
    uint64_t cpu, memory_mb, disk_mb, allocs;
    uint32_t *ports;
    size_t port_count;
    const Pb__NodeUsage *usage;
    size_t cores, devices; /* given to live allocations; each is found in usage */
};

static void sum_core(void *self, uint32_t core)
{
    struct sum *s = self;
    size_t found = 0;
    for (size_t i = 0; i < s->usage->n_cores; i++)
        found += s->usage->cores[i] == core;
    holds(found == 1);
    s->cores++;
}

static void sum_device(void *self, const char *name)
{
    struct sum *s = self;
    size_t found = 0;
    for (size_t i = 0; i < s->usage->n_devices; i++)
        found += strcmp(s->usage->devices[i], name) == 0;
    holds(found == 1);
    s->devices++;
}

static void sum_port(struct sum *s, uint32_t port)
{
    s->ports = xrealloc(s->ports, (s->port_count + 1) * sizeof *s->ports);
    s->ports[s->port_count++] = port;
}

static void sum_node(struct view *v, struct arena *a, const Pb__Node *n, struct sum *out)
{
    struct walk w;
    const uint8_t *id;
    for (size_t i = 0; i < n->n_reserved_ports; i++)
        sum_port(out, n->reserved_ports[i]);
    walk_open(&w, v, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__NODE, NULL, NULL, n->id.data, NULL);
    while ((id = walk_next(&w)) != NULL) {
        Pb__Alloc *alloc = state_alloc(v, a, id);
        if (!alloc_uses_node(alloc))
            continue;
        out->allocs++;
        if (alloc->resources != NULL) {
            out->cpu += alloc->resources->cpu;
            out->memory_mb += alloc->resources->memory_mb;
            out->disk_mb += alloc->resources->disk_mb;
        }
        for (size_t i = 0; i < alloc->n_ports; i++)
            sum_port(out, alloc->ports[i]->value);
        grants_each(alloc->grants, alloc->n_grants,
                    &(struct grant_visitor){out, sum_core, sum_device});
    }
    walk_close(&w);
    if (out->port_count > 0)
        qsort(out->ports, out->port_count, sizeof *out->ports, by_value);
}

static void check_nodes(struct view *v, struct arena *a)
{
    struct scan s;
    scan_open(&s, v, PB__TABLE__NAME__NODES, NULL, NULL, NULL);
    while (scan_next(&s)) {
        struct sum sum = {0};
        Pb__Node *n =
            WIRE_UNPACK(a, Pb__Node, pb__node, s.record.message.data, s.record.message.len);
        Pb__NodeUsage *u = state_node_usage(v, a, n->id.data);
        holds(u != NULL);
        sum.usage = u;
        sum_node(v, a, n, &sum);
        holds(u->used->cpu == sum.cpu && u->used->memory_mb == sum.memory_mb &&
              u->used->disk_mb == sum.disk_mb && u->allocs == sum.allocs);
        holds(u->n_ports == sum.port_count &&
              (sum.port_count == 0 ||
               memcmp(u->ports, sum.ports, sum.port_count * sizeof *sum.ports) == 0));
        holds(u->n_cores == sum.cores && u->n_devices == sum.devices); /* so none twice */
        free(sum.ports);
        arena_reset(a);
    }
    scan_close(&s);
    holds(count_index(v, T_NODES) == count_index(v, T_NODE_USAGE));
}

/* ---- jobs */

static void recount(struct view *v, struct arena *a, const Pb__Job *job, struct job_counts *c,
                    Pb__JobSummary *s)
{
    struct walk w;
    const uint8_t *id;
    walk_open(&w, v, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, job->namespace_, job->id, NULL,
              NULL);
    while ((id = walk_next(&w)) != NULL) {
        Pb__Alloc *alloc = state_alloc(v, a, id);
        if (alloc->job_create_index != job->create_index)
            continue;
        c->allocs++;
        if (alloc->alloc_modify_index > c->planned_index)
            c->planned_index = alloc->alloc_modify_index;
        c->wanted += alloc_is_wanted(alloc);
        for (size_t i = 0; i < s->n_summary; i++)
            if (strcmp(s->summary[i]->name, alloc->task_group) == 0)
                --*summary_bucket(s->summary[i], alloc);
    }
    walk_close(&w);
    walk_open(&w, v, PB__TABLE__NAME__EVALS, PB__LIST__BY__JOB, job->namespace_, job->id, NULL,
              NULL);
    while ((id = walk_next(&w)) != NULL) {
        Pb__Eval *e = state_eval(v, a, id);
        if (e->create_index < job->create_index)
            continue;
        c->evals++;
        c->open_evals +=
            e->status == PB__EVAL__STATUS__PENDING || e->status == PB__EVAL__STATUS__BLOCKED;
    }
    walk_close(&w);
}

/* ---- those that wait */

/* The keys of a table that begin so. */
static uint64_t count_keys(struct view *v, unsigned table, const struct key *prefix)
{
    struct cursor c;
    uint64_t n = 0;
    cursor_open(&c, v->txn, table);
    bool found = cursor_seek(&c, key_bytes(prefix));
    for (; found && bytes_begin_with(c.key, key_bytes(prefix)); found = cursor_next(&c))
        n++;
    cursor_close(&c);
    return n;
}

/* What a job that waits for its turn or for others has, and one that does not wait has not. */
static void check_waiting(struct view *v, struct arena *a, const Pb__Job *job,
                          const struct job_counts *c)
{
    struct key k;
    struct bytes b;
    holds(key_job_prefix(&k, job->namespace_, job->id));
    holds(count_keys(v, T_QUEUE, &k) == c->queued);
    holds(c->turn == 0 || (job_is_child(job) && c->open_evals == 0 && !job->stop));
    holds(c->gate == 0 || (job->n_depends_on > 0 && !job->stop));
    holds(key_job(&k, job->namespace_, job->id));
    if (!txn_get(v->txn, T_HELD, key_bytes(&k), &b)) {
        holds(c->gate == 0 || c->open_evals == 0);
        return;
    }
    const Pb__Eval *held = state_eval(v, a, b.data);
    holds(c->gate != 0 && c->open_evals == 1 && held != NULL && eval_is_held(held));
}

/* Of a parent: its children, counted again. */
static void check_children(struct view *v, const Pb__Job *job, const struct job_counts *c,
                           const Pb__JobSummary *s)
{
    struct scan all;
    uint32_t counted[JOB_DEAD + 1] = {0};
    Pb__ChildrenSummary none = PB__CHILDREN_SUMMARY__INIT;
    const Pb__ChildrenSummary *kept = s->children != NULL ? s->children : &none;
    struct arena *a = arena_new(WIRE_MAX_UNPACKED);
    scan_open(&all, v, PB__TABLE__NAME__JOBS, job->namespace_, NULL, NULL);
    while (scan_next(&all)) {
        Pb__Job *child =
            WIRE_UNPACK(a, Pb__Job, pb__job, all.record.message.data, all.record.message.len);
        if (job_is_child(child) && strcmp(child->parent_id, job->id) == 0 &&
            strcmp(child->namespace_, job->namespace_) == 0 &&
            child->create_index > job->create_index)
            for (size_t i = 0; i <= JOB_DEAD; i++)
                counted[i] += strcmp(child->status, job_status_names[i]) == 0;
        arena_reset(a);
    }
    scan_close(&all);
    arena_free(a);
    holds(kept->pending == counted[JOB_PENDING] && kept->running == counted[JOB_RUNNING] &&
          kept->dead == counted[JOB_DEAD] && kept->waiting == c->queued);
}

static void check_job(struct view *v, struct arena *a, const Pb__Job *job)
{
    struct key k;
    struct job_counts kept, counted = {0};
    holds(key_job(&k, job->namespace_, job->id));
    holds(counts_get(v, key_bytes(&k), &kept));
    Pb__JobSummary *s = state_summary(v, a, job->namespace_, job->id);
    holds(s != NULL);
    recount(v, a, job, &counted, s);
    holds(kept.create_index == job->create_index && (kept.stopped != 0) == job->stop);
    /* the allocation that was planned last may have been collected */
    holds(kept.allocs == counted.allocs && kept.wanted == counted.wanted &&
          kept.planned_index >= counted.planned_index);
    holds(kept.evals == counted.evals && kept.open_evals == counted.open_evals);
    holds(strcmp(job->status, job_status_names[job_status_of(&kept)]) == 0);
    if (job_is_template(job))
        check_children(v, job, &kept, s);
    check_waiting(v, a, job, &kept);
    for (size_t i = 0; i < s->n_summary; i++) /* recount took off what it found */
        holds(s->summary[i]->starting == 0 && s->summary[i]->running == 0 &&
              s->summary[i]->complete == 0 && s->summary[i]->failed == 0 &&
              s->summary[i]->lost == 0);
}

static void check_jobs(struct view *v, struct arena *a)
{
    struct scan s;
    uint64_t system = 0, waiting = 0, held = 0;
    scan_open(&s, v, PB__TABLE__NAME__JOBS, NULL, NULL, NULL);
    while (scan_next(&s)) {
        Pb__Job *job =
            WIRE_UNPACK(a, Pb__Job, pb__job, s.record.message.data, s.record.message.len);
        holds(job != NULL && job->modify_index == s.record.modify_index);
        system += !job->stop && !job_is_template(job) && job->type != NULL &&
                  strncmp(job->type, "sys", 3) == 0;
        check_job(v, a, job);
        struct key k;
        struct job_counts c;
        holds(key_job(&k, job->namespace_, job->id) && counts_get(v, key_bytes(&k), &c));
        waiting += c.turn != 0;
        held += index_has(v, T_HELD, &k);
        arena_reset(a);
    }
    scan_close(&s);
    holds(count_index(v, T_QUEUE) == waiting && count_index(v, T_HELD) == held);
    holds(count_index(v, T_SYSTEM_JOBS) == system);
    uint64_t n = count_index(v, T_JOBS);
    holds(count_index(v, T_JOB_COUNTS) == n && count_index(v, T_SUMMARIES) == n);
}

/* ---- deployments */

/* Takes off each group what its allocations are found to be. Of one that goes on they are all here.
 */
static void take_off(Pb__Deployment *d, const Pb__Alloc *a)
{
    const Pb__DeploymentStatus *s = a->deployment_status;
    if (a->deployment_id.len != ID_SIZE || !id_equal(a->deployment_id.data, d->id.data) ||
        s == NULL || !s->has_healthy)
        return;
    for (size_t i = 0; i < d->n_task_groups; i++)
        if (strcmp(d->task_groups[i]->name, a->task_group) == 0) {
            d->task_groups[i]->healthy_allocs -= s->healthy;
            d->task_groups[i]->unhealthy_allocs -= !s->healthy;
        }
}

static void check_counts(struct view *v, struct arena *a, Pb__Deployment *d)
{
    struct walk w;
    const uint8_t *id;
    walk_open(&w, v, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, d->namespace_, d->job_id, NULL,
              NULL);
    while ((id = walk_next(&w)) != NULL)
        take_off(d, state_alloc(v, a, id));
    walk_close(&w);
    for (size_t i = 0; i < d->n_task_groups; i++)
        holds(d->task_groups[i]->healthy_allocs == 0 && d->task_groups[i]->unhealthy_allocs == 0);
}

static void check_deployments(struct view *v, struct arena *a)
{
    struct scan s;
    scan_open(&s, v, PB__TABLE__NAME__DEPLOYMENTS, NULL, NULL, NULL);
    while (scan_next(&s)) {
        Pb__Deployment *d = WIRE_UNPACK(a, Pb__Deployment, pb__deployment, s.record.message.data,
                                        s.record.message.len);
        holds(d != NULL && d->modify_index == s.record.modify_index);
        if (d->status == PB__DEPLOYMENT__STATUS__RUNNING ||
            d->status == PB__DEPLOYMENT__STATUS__PAUSED)
            check_counts(v, a, d);
        arena_reset(a);
    }
    scan_close(&s);
    holds(count_index(v, T_DEPLOYMENTS) == count_index(v, T_DEPLOYMENTS_BY_JOB));
}

/* The feed names every record changed behind its low-water mark. */
static void check_changes(struct view *v)
{
    struct change_walk w;
    struct change c;
    uint64_t n = 0, last = v->meta.changes_low;
    change_walk_open(&w, v, v->meta.changes_low, 0);
    for (; change_walk_next(&w, &c); n++) {
        holds(c.index >= last && c.index > v->meta.changes_low);
        last = c.index;
    }
    change_walk_close(&w);
    holds(n == v->meta.changes_count && last <= v->meta.applied_index);
}

void state_check(struct view *v)
{
    struct arena *a = arena_new(WIRE_MAX_UNPACKED);
    check_allocs(v, a);
    check_nodes(v, a);
    check_jobs(v, a);
    check_deployments(v, a);
    check_changes(v);
    holds(!view_failed(v));
    arena_free(a);
}

uint64_t state_digest(struct view *v)
{
    uint64_t h = 0;
    for (unsigned table = 0; table < T_COUNT; table++) {
        struct cursor c;
        cursor_open(&c, v->txn, table);
        for (bool found = cursor_first(&c); found; found = cursor_next(&c)) {
            if (table == T_META && bytes_begin_with(c.key, META_KEY))
                continue; /* as the view has it, below */
            h = hash_bytes(c.key.data, c.key.len, h + table);
            h = hash_bytes(c.value.data, c.value.len, h);
        }
        cursor_close(&c);
    }
    return hash_bytes(&v->meta, sizeof v->meta, h);
}
