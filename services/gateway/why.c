/* Why things are as they are: what a job's next allocations lack, and what an evaluation found. */
#include "answer.h"
#include "asking.h"
#include "jobstore.pb-c.h"
#include "nouns.h"
#include "objects.h"
#include "wire/json.h"
#include "wire/template.h"
#include "wire/wire.h"
#include <string.h>

struct asked_why {
    struct call_context *context;
    uint8_t id[ID_SIZE];
    char *group;  /* of an allocation: only that one is told of */
    json_t *told; /* what is known before the scheduler is asked; NULL: nothing */
};

/* ---- the scheduler's part */

static json_t *groups_json(const Pb__Answer *a)
{
    json_t *all = json_array();
    for (size_t i = 0; i < a->n_groups; i++)
        json_array_append_new(all, wire_to_json(&a->groups[i]->base));
    return all;
}

/* Takes tree. */
static void tell(struct asked_why *w, uint64_t index, json_t *tree)
{
    answer_index(w->context->x, index);
    answer_json(w->context->x, tree, w->context->params.pretty);
}

static void on_answer(void *owner, const struct response *r)
{
    struct asked_why *w = owner;
    const Pb__Answer *a = (const Pb__Answer *)r->body;
    if (r->code != PB__REPLY__CODE__OK || a == NULL || a->job == NULL) {
        if (w->told == NULL) {
            ask_failed(w->context->x, r);
            return;
        }
        json_put(w->told, "Groups", json_null()); /* the job is gone, or nobody can be asked */
        json_put(w->told, "GroupsReason", json_text(r->reason));
        tell(w, r->index, w->told);
        return;
    }
    json_t *tree = w->told != NULL ? w->told : json_object();
    json_put(tree, "JobID", json_text(a->job->id));
    json_put(tree, "Namespace", json_text(a->job->namespace_));
    json_put(tree, "Type", json_text(a->job->type));
    json_put(tree, "Stop", json_boolean(a->job->stop));
    if (job_is_template(a->job))
        json_put(tree, "Template", json_true());
    json_put(tree, "Datacenters", json_array());
    for (size_t i = 0; i < a->job->n_datacenters; i++)
        json_array_append_new(json_object_get(tree, "Datacenters"),
                              json_text(a->job->datacenters[i]));
    json_put(tree, "Groups", groups_json(a));
    json_put(tree, "Index", json_integer((json_int_t)a->index));
    tell(w, a->index, tree);
}

static void ask_about(struct asked_why *w, const char *type, const char *ns, const char *job_id,
                      uint64_t index)
{
    Pb__Question q = PB__QUESTION__INIT;
    q.has_kind = q.has_min_index = 1;
    q.kind = PB__QUESTION__KIND__WHY;
    q.type = (char *)(uintptr_t)type;
    q.namespace_ = (char *)(uintptr_t)ns;
    q.job_id = (char *)(uintptr_t)job_id;
    q.min_index = index;
    ask_scheduler(w->context->gateway, &q, on_answer, w);
}

/* ---- a job */

static void on_job(void *owner, const struct response *r)
{
    struct asked_why *w = owner;
    const Pb__Job *job = object_job((const Pb__Object *)r->body);
    if (r->code == PB__REPLY__CODE__NOT_FOUND)
        answer_text(w->context->x, 404, "job not found");
    else if (r->code != PB__REPLY__CODE__OK || job == NULL)
        answer_failure(w->context->x, r);
    else {
        if (job->status_description != NULL && job->status_description[0] != '\0') {
            w->told = json_object(); /* for other jobs, or for its turn */
            json_put(w->told, "Waits", json_text(job->status_description));
        }
        ask_about(w, job->type, job->namespace_, job->id, job->modify_index);
    }
}

void job_why(struct call_context *c)
{
    struct asked_why *w = arena_alloc(exchange_arena(c->x), sizeof(*w));
    *w = (struct asked_why){.context = c};
    Pb__Key key = PB__KEY__INIT;
    key.has_table = 1;
    key.table = PB__TABLE__NAME__JOBS;
    key.namespace_ = (char *)(uintptr_t)c->params.namespace;
    key.name = (char *)(uintptr_t)c->id;
    gateway_get(c->gateway, false, &key, on_job, w);
}

/* ---- an evaluation, and an allocation by its evaluation */

static Pb__PlacementMetrics **of_group(const struct asked_why *w, Pb__PlacementMetrics **all,
                                       size_t *count)
{
    for (size_t i = 0; w->group != NULL && i < *count; i++)
        if (strcmp(all[i]->task_group, w->group) == 0) {
            *count = 1;
            return &all[i];
        }
    if (w->group != NULL)
        *count = 0;
    return all;
}

static void on_eval(void *owner, const struct response *r)
{
    struct asked_why *w = owner;
    const Pb__Eval *e = object_eval((const Pb__Object *)r->body);
    if (r->code == PB__REPLY__CODE__NOT_FOUND && w->told != NULL) {
        json_put(w->told, "Evaluation", json_null()); /* it was collected: no more is known */
        tell(w, r->index, w->told);
        return;
    }
    if (r->code != PB__REPLY__CODE__OK || e == NULL) {
        json_decref(w->told);
        if (r->code == PB__REPLY__CODE__NOT_FOUND)
            answer_text(w->context->x, 404, "eval not found");
        else
            answer_failure(w->context->x, r);
        return;
    }
    size_t placed = e->n_placed_groups;
    Pb__PlacementMetrics **groups = of_group(w, e->placed_groups, &placed);
    bool is_alloc = w->told != NULL;
    if (!is_alloc)
        w->told = json_object();
    json_put(w->told, "Evaluation", wire_to_json(&e->base));
    json_put(w->told, "PlacedTGAllocs", metrics_by_group(groups, placed));
    /* What is still missing, as it is now. */
    if (!is_alloc && (e->status == PB__EVAL__STATUS__BLOCKED || e->n_failed_groups > 0))
        ask_about(w, e->type, e->namespace_, e->job_id, e->modify_index);
    else
        tell(w, e->modify_index, w->told);
}

static void get_eval(struct asked_why *w)
{
    Pb__Key key = PB__KEY__INIT;
    key.has_table = key.has_id = 1;
    key.table = PB__TABLE__NAME__EVALS;
    key.id = (ProtobufCBinaryData){ID_SIZE, w->id};
    gateway_get(w->context->gateway, false, &key, on_eval, w);
}

static void on_alloc(void *owner, const struct response *r)
{
    struct asked_why *w = owner;
    const Pb__Alloc *alloc = object_alloc((const Pb__Object *)r->body);
    if (r->code == PB__REPLY__CODE__NOT_FOUND) {
        answer_text(w->context->x, 404, "alloc not found");
        return;
    }
    if (r->code != PB__REPLY__CODE__OK || alloc == NULL) {
        answer_failure(w->context->x, r);
        return;
    }
    w->group = arena_strdup(exchange_arena(w->context->x), alloc->task_group);
    w->told = json_object();
    json_put(w->told, "AllocID", json_id_of(alloc->id));
    json_put(w->told, "JobID", json_text(alloc->job_id));
    json_put(w->told, "NodeID", json_id_of(alloc->node_id));
    json_put(w->told, "TaskGroup", json_text(alloc->task_group));
    memset(w->id, 0, ID_SIZE);
    if (alloc->eval_id.len == ID_SIZE)
        memcpy(w->id, alloc->eval_id.data, ID_SIZE);
    get_eval(w);
}

static struct asked_why *by_id(struct call_context *c, const char *what)
{
    struct asked_why *w = arena_alloc(exchange_arena(c->x), sizeof(*w));
    *w = (struct asked_why){.context = c};
    if (id_parse(c->id, w->id))
        return w;
    answer_text(c->x, 400, "%s lookup failed: \"%s\" is no whole id", what, c->id);
    return NULL;
}

void evaluation_why(struct call_context *c)
{
    struct asked_why *w = by_id(c, "eval");
    if (w != NULL)
        get_eval(w);
}

void allocation_why(struct call_context *c)
{
    struct asked_why *w = by_id(c, "alloc");
    if (w == NULL)
        return;
    Pb__Key key = PB__KEY__INIT;
    key.has_table = key.has_id = 1;
    key.table = PB__TABLE__NAME__ALLOCS;
    key.id = (ProtobufCBinaryData){ID_SIZE, w->id};
    gateway_get(c->gateway, false, &key, on_alloc, w);
}
