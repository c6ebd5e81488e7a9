/* A dry run: what would happen if a job were registered. */
#include "alloc_json.h"
#include "answer.h"
#include "asking.h"
#include "base/id.h"
#include "jobplace.h"
#include "names.h"
#include "nouns.h"
#include "periodic.h"
#include "plandiff.h"
#include "submission.h"
#include "wire/json.h"
#include "wire/wire.h"
#include <string.h>

struct dry_run {
    struct call_context *context;
    struct submission submission;
    const char *warnings;
};

json_t *plan_updates_json(const Pb__Answer *a)
{
    json_t *all = json_object();
    for (size_t i = 0; i < a->n_updates; i++) {
        json_t *one = wire_to_json(&a->updates[i]->base);
        json_object_del(one, "TaskGroup");
        json_put(all, a->updates[i]->task_group, one);
    }
    return all;
}

/* The blocked evaluation that would wait for room. */
static json_t *created_json(struct gateway *g, const Pb__Answer *a)
{
    const Pb__Plan *plan = a->plan;
    if (!plan->create_blocked)
        return json_null();
    struct id id = id_new(), previous = id_new();
    Pb__Eval e = PB__EVAL__INIT;
    e.has_id = e.has_previous_eval = e.has_priority = e.has_status = 1;
    e.id = (ProtobufCBinaryData){ID_SIZE, id.bytes};
    e.previous_eval = (ProtobufCBinaryData){ID_SIZE, previous.bytes};
    e.namespace_ = a->job->namespace_;
    e.job_id = a->job->id;
    e.type = a->job->type;
    e.priority = a->job->priority;
    e.status = PB__EVAL__STATUS__BLOCKED;
    e.status_description = (char *)(uintptr_t) "created to place remaining allocations";
    e.triggered_by = (char *)(uintptr_t) "queued-allocs";
    e.failed_groups = plan->failed_groups;
    e.n_failed_groups = plan->n_failed_groups;
    e.classes = plan->classes;
    e.n_classes = plan->n_classes;
    e.has_escaped_class = plan->has_escaped_class;
    e.escaped_class = plan->escaped_class;
    e.has_create_time = e.has_modify_time = 1;
    e.create_time = e.modify_time = loop_wall_ns(g->loop);
    e.has_job_modify_index = a->was != NULL;
    e.job_modify_index = a->was != NULL ? a->job->job_modify_index : 0;
    json_t *tree = wire_to_json(&e.base);
    json_object_del(tree, "CreateIndex"); /* it has none */
    json_object_del(tree, "ModifyIndex");
    return json_pack("[o]", tree);
}

static int compare_where(const Pb__Placement *p, const Pb__Placement *q)
{
    int c = strcmp(p->task_group, q->task_group);
    return c != 0 ? c : memcmp(p->node_id.data, q->node_id.data, ID_SIZE);
}

static int by_where(const void *a, const void *b)
{
    return compare_where(*(Pb__Placement *const *)a, *(Pb__Placement *const *)b);
}

/* Where the placements would go: one line for each group and node. */
json_t *plan_where_json(struct gateway *g, const Pb__Plan *plan)
{
    json_t *all = json_array();
    size_t n = plan->n_placements;
    if (n > 1)
        qsort(plan->placements, n, sizeof(Pb__Placement *), by_where);
    for (size_t i = 0, next; i < n; i = next) {
        const Pb__Placement *p = plan->placements[i];
        for (next = i + 1; next < n && compare_where(p, plan->placements[next]) == 0;)
            next++;
        const char *name = "";
        if (!names_node(g->names, p->node_id.data, &name))
            name = "";
        json_array_append_new(all, json_pack("{so,so,so,sI}", "TaskGroup", json_text(p->task_group),
                                             "NodeID", json_id_of(p->node_id), "NodeName",
                                             json_text(name), "Count", (json_int_t)(next - i)));
    }
    return all;
}

/* What would have to go. The tasks of each are not asked for. */
static json_t *displaced_json(struct gateway *g, const Pb__Answer *a)
{
    if (a->n_displaced == 0)
        return json_null();
    json_t *all = json_array();
    for (size_t i = 0; i < a->n_displaced; i++) {
        struct alloc_parts parts = {.alloc = a->displaced[i], .job_type = "", .node_name = ""};
        if (!names_node(g->names, parts.alloc->node_id.data, &parts.node_name))
            parts.node_name = "";
        if (!names_job_type(g->names, parts.alloc, &parts.job_type))
            parts.job_type = "";
        json_array_append_new(all, alloc_stub_json(&parts, false, true));
    }
    return all;
}

static json_t *plan_json(const struct dry_run *d, const Pb__Answer *a)
{
    json_int_t index = a->was != NULL ? (json_int_t)a->was->job_modify_index : 0;
    json_t *annotations = json_pack("{so,so}", "DesiredTGUpdates", plan_updates_json(a),
                                    "PreemptedAllocs", displaced_json(d->context->gateway, a));
    json_t *tree = json_pack("{so,so,so,so,sI,sI,so,so}", "Annotations", annotations,
                             "CreatedEvals", created_json(d->context->gateway, a), "Diff",
                             d->submission.diff ? plan_diff(a) : json_null(), "FailedTGAllocs",
                             metrics_by_group(a->plan->failed_groups, a->plan->n_failed_groups),
                             "Index", index, "JobModifyIndex", index, "NextPeriodicLaunch",
                             next_launch_json(a->job, loop_wall_ns(d->context->gateway->loop)),
                             "Warnings", json_text(d->warnings));
    if (d->submission.where)
        json_put(tree, "Where", plan_where_json(d->context->gateway, a->plan));
    return tree;
}

static void on_answer(void *owner, const struct response *r)
{
    const struct dry_run *d = owner;
    struct call_context *c = d->context;
    const Pb__Answer *a = (const Pb__Answer *)r->body;
    if (r->code != PB__REPLY__CODE__OK || a == NULL || a->plan == NULL || a->job == NULL) {
        ask_failed(c->x, r);
        return;
    }
    answer_index(c->x, a->was != NULL ? a->was->job_modify_index : 0);
    answer_json(c->x, plan_json(d, a), c->params.pretty);
}

/* Whether what was sent is a job with the id of the path; false: answered. */
static bool is_of_path(struct call_context *c, const Pb__Job *job)
{
    if (job->id == NULL || job->id[0] == '\0')
        answer_text(c->x, 400, "Job must have a valid ID");
    else if (strcmp(job->id, c->id) != 0)
        answer_text(c->x, 400, "Job ID does not match");
    else
        return true;
    return false;
}

static void ask(void *owner)
{
    struct dry_run *d = owner;
    const struct submission *s = &d->submission;
    Pb__Question q = PB__QUESTION__INIT;
    q.has_kind = 1;
    q.kind = PB__QUESTION__KIND__PLAN;
    q.type = s->job->type;
    q.namespace_ = s->job->namespace_;
    q.job_id = s->job->id;
    q.job = s->job;
    q.has_preserve_counts = 1;
    q.preserve_counts = s->preserve_counts;
    q.what_if = s->what_if;
    q.n_what_if = s->what_if_count;
    ask_scheduler(d->context->gateway, &q, on_answer, d);
}

void job_plan(struct call_context *c)
{
    struct dry_run *d = arena_alloc(exchange_arena(c->x), sizeof(*d));
    *d = (struct dry_run){.context = c, .warnings = ""};
    struct submission *s = &d->submission;
    if (!submission_read(c, "JobPlanRequest", s) || !is_of_path(c, s->job) ||
        !submission_check(c, s->job, &d->warnings))
        return;
    jobplace_check(c, s->job, ask, d);
}
