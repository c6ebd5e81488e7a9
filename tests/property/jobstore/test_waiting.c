/* Random registrations, updates, dispatches, plans and reports, against a naive model of what
 * waits: a job that depends on others has no new allocations before what it waits for has come
 * about, and is held no longer then; and of a parent's children those beyond max_running wait for
 * their turn, which goes by priority, then age. */
#include "base/err.h"
#include "base/prng.h"
#include "cluster.h"
#include "wire/held.h"
#include "wire/template.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { SEEDS = 10, STEPS = 500, NODES = 3, JOBS = 5, MOST = 4000 };

/* A job as the model sees it. */
struct known {
    bool there, waits, stopped;
    uint64_t created;
    char dependencies[200];
    size_t allocs; /* that it had when it began to wait */
};

struct world {
    uint64_t seed;
    struct prng random;
    struct cluster *c;
    struct known known[JOBS];
    Pb__Job *jobs[MOST];
    Pb__Eval *evals[MOST];
    Pb__Alloc *allocs[MOST];
    size_t job_count, eval_count, alloc_count;
    char waiting[MOST][80]; /* children that waited before the command */
    size_t waiting_count, at_work;
};

static const char *const names[JOBS] = {"a", "b", "c", "d", "e"};
static const char *const conditions[] = {"complete", "healthy"};

static uint32_t below(struct world *w, uint32_t n)
{
    return (uint32_t)prng_below(&w->random, n);
}

/* Only read, where protobuf-c wants it mutable. */
static char *mutable_text(const char *s)
{
    return (char *)(uintptr_t)s;
}

/* ---- everything there is */

static void load(struct world *w)
{
    struct view *v = state_read(w->c->state);
    struct scan s;
    w->job_count = w->eval_count = w->alloc_count = 0;
    scan_open(&s, v, PB__TABLE__NAME__JOBS, NULL, NULL, NULL);
    while (scan_next(&s))
        w->jobs[w->job_count++] =
            WIRE_UNPACK(w->c->arena, Pb__Job, pb__job, s.record.message.data, s.record.message.len);
    scan_close(&s);
    scan_open(&s, v, PB__TABLE__NAME__EVALS, NULL, NULL, NULL);
    while (scan_next(&s))
        w->evals[w->eval_count++] = WIRE_UNPACK(w->c->arena, Pb__Eval, pb__eval,
                                                s.record.message.data, s.record.message.len);
    scan_close(&s);
    scan_open(&s, v, PB__TABLE__NAME__ALLOCS, NULL, NULL, NULL);
    while (scan_next(&s))
        w->allocs[w->alloc_count++] = WIRE_UNPACK(w->c->arena, Pb__Alloc, pb__alloc,
                                                  s.record.message.data, s.record.message.len);
    scan_close(&s);
    view_abort(v);
    cr_assert(w->job_count < MOST && w->eval_count < MOST && w->alloc_count < MOST);
}

static Pb__Job *find(struct world *w, const char *id)
{
    for (size_t i = 0; i < w->job_count; i++)
        if (strcmp(w->jobs[i]->id, id) == 0)
            return w->jobs[i];
    return NULL;
}

static bool is_open(const Pb__Eval *e)
{
    return e->status == PB__EVAL__STATUS__PENDING || e->status == PB__EVAL__STATUS__BLOCKED;
}

/* ---- steps */

static void step_register(struct world *w)
{
    uint32_t which = below(w, JOBS);
    Pb__Job *job = a_job(w->c, names[which], 1 + below(w, 2));
    job->type = mutable_text(which < 3 ? "batch" : "service"); /* a type is kept */
    job->depends_on = arena_array(w->c->arena, Pb__Dependency *, 3);
    for (uint32_t n = below(w, 3); n > 0; n--) {
        Pb__Dependency *d = arena_alloc(w->c->arena, sizeof *d);
        pb__dependency__init(d);
        d->job = mutable_text(names[below(w, JOBS)]);
        d->condition = mutable_text(conditions[below(w, 2)]);
        job->depends_on[job->n_depends_on++] = d;
    }
    Pb__Outcome *out = register_job(w->c, job);
    if (out->code != PB__OUTCOME__CODE__APPLIED)
        cr_assert_not_null(strstr(out->reason, " -> "), "seed %d: %s", (int)w->seed, out->reason);
}

static void step_parent(struct world *w)
{
    Pb__Job *job = a_job(w->c, "p", 1);
    Pb__ParameterizedJob *p = arena_alloc(w->c->arena, sizeof *p);
    pb__parameterized_job__init(p);
    p->payload = mutable_text("optional");
    p->has_max_running = true;
    p->max_running = below(w, 4);
    job->type = mutable_text("batch");
    job->has_priority = true;
    job->priority = 50 + below(w, 3);
    job->parameterized_job = p;
    register_job(w->c, job);
}

static const char *child_of_token(struct world *w, const char *token)
{
    const char *id = NULL;
    for (size_t i = 0; token != NULL && i < w->job_count; i++)
        if (w->jobs[i]->idempotency_token != NULL &&
            strcmp(w->jobs[i]->idempotency_token, token) == 0)
            id = w->jobs[i]->id;
    return id;
}

static void step_dispatch(struct world *w)
{
    static const char *const tokens[] = {NULL, NULL, NULL, "x", "y", "z"};
    Pb__JobDispatch body = PB__JOB_DISPATCH__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.job_id = mutable_text("p");
    body.idempotency_token = mutable_text(tokens[below(w, COUNT_OF(tokens))]);
    cmd.body_case = PB__COMMAND__BODY_JOB_DISPATCH;
    cmd.job_dispatch = &body;
    const char *expected = child_of_token(w, body.idempotency_token);
    Pb__Outcome *out = cluster_apply(w->c, &cmd, 0);
    if (out->code != PB__OUTCOME__CODE__APPLIED)
        return; /* stopped, or not there */
    bool right =
        get_job(w->c, out->child_id) != NULL &&
        (expected != NULL ? strcmp(out->child_id, expected) == 0 : find(w, out->child_id) == NULL);
    cr_assert(right, "seed %d: %s", (int)w->seed, out->child_id);
}

static void step_deregister(struct world *w)
{
    if (w->job_count == 0)
        return;
    const Pb__Job *job = w->jobs[below(w, (uint32_t)w->job_count)];
    Pb__Outcome *out = deregister_job(w->c, job->id, below(w, 2) == 0);
    if (out->code != PB__OUTCOME__CODE__APPLIED)
        cr_assert(strcmp(job->id, "p") == 0 && w->waiting_count > 0, "seed %d", (int)w->seed);
}

/* As a scheduler would, but of any evaluation: what is held or closed must be refused. */
static void step_plan(struct world *w)
{
    if (w->eval_count == 0)
        return;
    const Pb__Eval *e = w->evals[below(w, (uint32_t)w->eval_count)];
    for (int tries = below(w, 4) == 0 ? 0 : 50; tries > 0 && !is_open(e); tries--)
        e = w->evals[below(w, (uint32_t)w->eval_count)];
    const Pb__Job *job = find(w, e->job_id);
    Pb__Plan *p = a_plan(w->c, e->id);
    bool replaces = below(w, 2) == 0; /* what has failed */
    for (size_t i = 0; i < w->alloc_count; i++) {
        const Pb__Alloc *a = w->allocs[i];
        if (strcmp(a->job_id, e->job_id) == 0 && alloc_is_wanted(a) &&
            (job == NULL || job->stop || a->job_version != job->version))
            plan_stop(w->c, p, a->id, false);
    }
    for (uint32_t i = 0; job != NULL && !job->stop && i < job->task_groups[0]->count; i++) {
        bool has = false;
        for (size_t k = 0; k < w->alloc_count; k++)
            has |= strcmp(w->allocs[k]->job_id, job->id) == 0 && w->allocs[k]->name_index == i &&
                   w->allocs[k]->job_create_index == job->create_index &&
                   w->allocs[k]->job_version == job->version &&
                   (!replaces || w->allocs[k]->client_status != PB__ALLOC__CLIENT_STATUS__FAILED);
        if (has)
            continue;
        plan_place(w->c, p, id_of(w->c, "node", below(w, NODES)), 10, 10, 0);
        p->placements[p->n_placements - 1]->has_name_index = true;
        p->placements[p->n_placements - 1]->name_index = i;
    }
    Pb__Outcome *out = apply_a_plan(w->c, p);
    bool current = is_open(e) && !eval_is_held(e);
    cr_assert(current || out->code != PB__OUTCOME__CODE__APPLIED, "seed %d", (int)w->seed);
}

static void step_alloc(struct world *w)
{
    static const Pb__Alloc__ClientStatus all[] = {
        PB__ALLOC__CLIENT_STATUS__RUNNING,  PB__ALLOC__CLIENT_STATUS__RUNNING,
        PB__ALLOC__CLIENT_STATUS__COMPLETE, PB__ALLOC__CLIENT_STATUS__COMPLETE,
        PB__ALLOC__CLIENT_STATUS__COMPLETE, PB__ALLOC__CLIENT_STATUS__FAILED,
    };
    size_t live[MOST], n = 0;
    for (size_t i = 0; i < w->alloc_count; i++)
        if (!alloc_has_ended(w->allocs[i]))
            live[n++] = i;
    if (n > 0)
        update_alloc(w->c, w->allocs[live[below(w, (uint32_t)n)]]->id,
                     all[below(w, COUNT_OF(all))]);
}

static void step(struct world *w)
{
    switch (below(w, 24)) {
    case 0:
    case 1:
        step_register(w);
        break;
    case 2:
        step_deregister(w);
        break;
    case 3:
        if (below(w, 3) == 0)
            step_parent(w);
        break;
    case 4:
    case 5:
        step_dispatch(w);
        break;
    case 6:
    case 7:
    case 8:
    case 9:
    case 10:
    case 11:
    case 12:
        step_alloc(w);
        break;
    default:
        step_plan(w);
    }
}

/* ---- the naive model of dependencies */

static bool is_complete(struct world *w, const Pb__Job *job)
{
    if (strcmp(job->type, "batch") != 0 || strcmp(job->status, "dead") != 0)
        return false;
    for (uint32_t i = 0; i < job->task_groups[0]->count; i++) {
        const Pb__Alloc *newest = NULL; /* allocs come in order of their ids */
        for (size_t k = 0; k < w->alloc_count; k++)
            if (strcmp(w->allocs[k]->job_id, job->id) == 0 && w->allocs[k]->name_index == i &&
                w->allocs[k]->job_create_index == job->create_index)
                newest = w->allocs[k];
        if (newest == NULL || newest->client_status != PB__ALLOC__CLIENT_STATUS__COMPLETE)
            return false;
    }
    return true;
}

static bool is_healthy(struct world *w, const Pb__Job *job)
{
    uint32_t running = 0;
    for (size_t k = 0; k < w->alloc_count; k++)
        running += strcmp(w->allocs[k]->job_id, job->id) == 0 &&
                   w->allocs[k]->job_create_index == job->create_index &&
                   w->allocs[k]->client_status == PB__ALLOC__CLIENT_STATUS__RUNNING;
    return strcmp(job->status, "running") == 0 && running >= job->task_groups[0]->count;
}

static bool conditions_hold(struct world *w, const Pb__Job *job)
{
    for (size_t i = 0; i < job->n_depends_on; i++) {
        const Pb__Dependency *d = job->depends_on[i];
        const Pb__Job *other = find(w, d->job);
        if (other == NULL || other->stop ||
            !(strcmp(d->condition, "healthy") == 0 ? is_healthy(w, other) : is_complete(w, other)))
            return false;
    }
    return true;
}

static size_t allocs_of(struct world *w, const Pb__Job *job)
{
    size_t n = 0;
    for (size_t i = 0; i < w->alloc_count; i++)
        n += strcmp(w->allocs[i]->job_id, job->id) == 0;
    return n;
}

static void follow(struct world *w, struct known *k, const Pb__Job *job)
{
    char dependencies[200] = "";
    for (size_t i = 0; i < job->n_depends_on; i++)
        snprintf(dependencies + strlen(dependencies), sizeof dependencies - strlen(dependencies),
                 "%s %s,", job->depends_on[i]->job, job->depends_on[i]->condition);
    bool anew = !k->there || k->created != job->create_index || (k->stopped && !job->stop) ||
                strcmp(dependencies, k->dependencies) != 0;
    if (anew && !k->waits)
        k->allocs = allocs_of(w, job);
    k->waits = job->n_depends_on > 0 && !job->stop && (anew || k->waits);
    if (k->waits && conditions_hold(w, job))
        k->waits = false;
    k->there = true;
    k->stopped = job->stop;
    k->created = job->create_index;
    memcpy(k->dependencies, dependencies, sizeof dependencies);
}

/* How many open evaluations the job has, and how many of them are held. */
static size_t count_open(struct world *w, const Pb__Job *job, size_t *held)
{
    size_t open = 0;
    *held = 0;
    for (size_t i = 0; i < w->eval_count; i++) {
        const Pb__Eval *e = w->evals[i];
        if (strcmp(e->job_id, job->id) != 0 || !is_open(e))
            continue;
        open++;
        *held += eval_is_held(e);
    }
    return open;
}

static void check_job(struct world *w, struct known *k, const Pb__Job *job)
{
    follow(w, k, job);
    size_t held, open = count_open(w, job, &held), allocs = allocs_of(w, job);
    bool is_held = open == held && held <= 1;
    cr_assert(!k->waits || is_held, "seed %d: %s is not held", (int)w->seed, job->id);
    cr_assert(!k->waits || allocs == k->allocs, "seed %d: %s did not wait", (int)w->seed, job->id);
    cr_assert(k->waits || held == 0, "seed %d: %s is held for ever", (int)w->seed, job->id);
    bool says = job->status_description != NULL &&
                strncmp(job->status_description, "waits for job", 13) == 0;
    cr_assert_eq(says, held == 1, "seed %d: %s", (int)w->seed, job->id);
}

static void check_dependencies(struct world *w)
{
    for (size_t i = 0; i < JOBS; i++) {
        const Pb__Job *job = find(w, names[i]);
        if (job != NULL)
            check_job(w, &w->known[i], job);
        else
            w->known[i] = (struct known){0};
    }
}

/* ---- the naive model of the queue */

static bool is_waiting(const Pb__Job *job)
{
    return job_is_child(job) && job->status_description != NULL &&
           strncmp(job->status_description, DESCRIBE_QUEUED, strlen(DESCRIBE_QUEUED)) == 0;
}

static bool waited(const struct world *w, const Pb__Job *job)
{
    for (size_t i = 0; i < w->waiting_count; i++)
        if (strcmp(w->waiting[i], job->id) == 0)
            return true;
    return false;
}

static bool goes_before(const Pb__Job *a, const Pb__Job *b)
{
    return a->priority != b->priority ? a->priority > b->priority
                                      : a->create_index < b->create_index;
}

/* Whoever waits still has to come behind one that waited and went on. */
static void check_order(struct world *w, const Pb__Job *gone)
{
    for (size_t k = 0; k < w->job_count; k++)
        if (is_waiting(w->jobs[k]))
            cr_assert(goes_before(gone, w->jobs[k]), "seed %d: %s before %s", (int)w->seed,
                      gone->id, w->jobs[k]->id);
}

static void check_queue(struct world *w)
{
    const Pb__Job *parent = find(w, "p");
    size_t waiting = 0, at_work = 0;
    uint32_t most = parent != NULL ? parent->parameterized_job->max_running : 0;
    for (size_t i = 0; i < w->job_count; i++) {
        const Pb__Job *job = w->jobs[i];
        bool ours = parent != NULL && job_is_child(job) && job->create_index > parent->create_index;
        waiting += is_waiting(job);
        at_work += ours && !is_waiting(job) && strcmp(job->status, "dead") != 0;
    }
    if (most > 0 && at_work > w->at_work)
        cr_assert_leq(at_work, most, "seed %d: too many at once", (int)w->seed);
    if (waiting > 0)
        cr_assert(most > 0 && at_work >= most, "seed %d: waits in vain", (int)w->seed);
    for (size_t i = 0; i < w->job_count; i++)
        if (waited(w, w->jobs[i]) && !is_waiting(w->jobs[i]) && !w->jobs[i]->stop)
            check_order(w, w->jobs[i]);
    w->at_work = at_work;
    w->waiting_count = 0;
    for (size_t i = 0; i < w->job_count; i++)
        if (is_waiting(w->jobs[i]))
            snprintf(w->waiting[w->waiting_count++], sizeof w->waiting[0], "%s", w->jobs[i]->id);
}

static void run_seed(uint64_t seed)
{
    static struct world w;
    w = (struct world){.seed = seed, .c = cluster_new()};
    prng_seed(&w.random, seed);
    for (uint32_t i = 0; i < NODES; i++)
        register_node(w.c, a_node(w.c, i, 100000, 100000));
    step_parent(&w);
    load(&w);
    for (int i = 0; i < STEPS; i++) {
        step(&w);
        load(&w);
        check_dependencies(&w);
        check_queue(&w);
    }
    struct cluster *replica = cluster_new();
    cluster_replay(replica, w.c, 7);
    cr_assert_eq(digest_of(replica), digest_of(w.c), "seed %d: replicas differ", (int)seed);
    cluster_free(replica);
    cluster_free(w.c);
}

Test(waiting, what_waits_goes_on_when_it_may_and_not_before)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run_seed(seed);
}
