/* The scaling stanzas of all jobs, as an autoscaler asks for them. They are parts of their jobs: a
 * reading walks the jobs. */
#include "answer.h"
#include "jobfile/scaling.h"
#include "nouns.h"
#include "objects.h"
#include "policy_id.h"
#include "query.h"
#include "wire/json.h"
#include "wire/wire.h"
#include <string.h>

#define PAGE 200u

/* What is looked for; lives as long as the exchange. */
struct search {
    bool one; /* the policy of this id, whole */
    uint8_t low[ID_SIZE], high[ID_SIZE];
    bool any_id;
    const char *job; /* NULL: of any */
    bool other_type; /* than horizontal: there are none */
    const Pb__Key *after;
    bool began;
};

static json_t *policy_json(const Pb__Job *job, const Pb__TaskGroup *group, const json_t *scaling,
                           const uint8_t *id, bool whole)
{
    const json_t *enabled = json_object_get(scaling, "Enabled");
    json_t *tree = json_pack(
        "{sI,sb,so,sI,s{so,so,so},ss}", "CreateIndex", (json_int_t)job->create_index, "Enabled",
        json_is_true(enabled) ? 1 : 0, "ID", json_id(id), "ModifyIndex",
        (json_int_t)job->job_modify_index, "Target", "Group", json_text(group->name), "Job",
        json_text(job->id), "Namespace",
        json_text(job->namespace_ == NULL ? "default" : job->namespace_), "Type", "horizontal");
    if (whole) {
        json_put(tree, "Max", json_integer(json_integer_value(json_object_get(scaling, "Max"))));
        json_put(tree, "Min", json_integer(json_integer_value(json_object_get(scaling, "Min"))));
        json_t *policy = json_object_get(scaling, "Policy");
        json_put(tree, "Policy", policy == NULL ? json_null() : json_incref(policy));
    }
    return tree;
}

/* True: it was the one that is looked for, and the query is over. */
static bool look_at(struct query *q, const struct search *s, const Pb__Job *job,
                    const Pb__TaskGroup *group)
{
    uint8_t id[ID_SIZE];
    if (group->scaling_json == NULL)
        return false;
    policy_id(job->namespace_, job->id, group->name, id);
    if (!s->any_id && (memcmp(id, s->low, ID_SIZE) < 0 || memcmp(id, s->high, ID_SIZE) > 0))
        return false;
    json_t *scaling = group_scaling(group);
    json_t *tree = policy_json(job, group, scaling, id, s->one);
    json_decref(scaling);
    if (s->one)
        query_found(q, job->job_modify_index, tree);
    else
        query_list_add(q, tree);
    return s->one;
}

static bool look_at_page(struct query *q, const struct search *s, const Pb__Objects *page)
{
    for (size_t i = 0; i < page->n_objects; i++) {
        const Pb__Job *job = object_job(page->objects[i]);
        if (job == NULL || job->stop || (s->job != NULL && strcmp(s->job, job->id) != 0))
            continue;
        for (size_t k = 0; k < job->n_task_groups; k++)
            if (look_at(q, s, job, job->task_groups[k]))
                return true;
    }
    return false;
}

static void read_page(struct query *q);

static void on_page(void *owner, const struct response *r)
{
    struct query *q = owner;
    struct search *s = q->context->state;
    const Pb__Objects *page = (const Pb__Objects *)r->body;
    if (r->code != PB__REPLY__CODE__OK || page == NULL) {
        query_failed(q, r);
        return;
    }
    uint64_t index = page->table_index;
    const Pb__Key *next = page->next;
    if (!s->one && !s->began && !query_list_begin(q, index))
        return;
    s->began = true;
    if (look_at_page(q, s, page))
        return;
    if (next != NULL)
        s->after = (const Pb__Key *)wire_clone(exchange_arena(q->x), &next->base);
    if (next != NULL && s->one)
        read_page(q);
    else if (s->one)
        query_missing(q, index, "policy not found");
    else
        query_list_page(q, next != NULL ? read_page : NULL);
}

static void read_page(struct query *q)
{
    const struct search *s = q->context->state;
    Pb__List l = PB__LIST__INIT;
    l.has_table = l.has_limit = 1;
    l.table = PB__TABLE__NAME__JOBS;
    l.namespace_ = (char *)(uintptr_t)q->params.namespace;
    l.prefix = (char *)(uintptr_t)(s->job == NULL ? "" : s->job);
    l.limit = PAGE;
    l.after = (Pb__Key *)(uintptr_t)s->after;
    gateway_list(q->gateway, q->params.stale, &l, on_page, q);
}

static void read_from_start(struct query *q)
{
    struct search *s = q->context->state;
    s->after = NULL;
    s->began = false;
    if (s->other_type)
        query_list(q, 0, json_array());
    else
        read_page(q);
}

static struct watch_on on_jobs(const struct call_context *c)
{
    bool all = strcmp(c->params.namespace, "*") == 0;
    return (struct watch_on){.tables = FEED_TABLE(JOBS),
                             .namespace = all ? NULL : c->params.namespace};
}

void scaling_policies_list(struct call_context *c)
{
    char buffer[128];
    struct watch_on on = on_jobs(c);
    struct search *s = arena_alloc(exchange_arena(c->x), sizeof *s);
    const char *problem = id_prefix_problem(c->params.prefix, buffer);
    const char *job = exchange_arg(c->x, "job"), *type = exchange_arg(c->x, "type");
    if (problem != NULL) {
        answer_text(c->x, 500, "%s", problem);
        return;
    }
    *s = (struct search){.any_id = c->params.prefix[0] == '\0' ||
                                   !id_prefix_range(c->params.prefix, s->low, s->high),
                         .job = job != NULL && *job != '\0' ? job : NULL,
                         .other_type =
                             type != NULL && *type != '\0' && strcmp(type, "horizontal") != 0};
    if (!s->any_id)
        id_prefix_range(c->params.prefix, s->low, s->high);
    c->state = s;
    query_start(c, &on, read_from_start);
}

void scaling_policy_get(struct call_context *c)
{
    struct watch_on on = on_jobs(c);
    struct search *s = arena_alloc(exchange_arena(c->x), sizeof *s);
    const char *problem = id_problem(c->id);
    if (c->id[0] == '\0') {
        answer_text(c->x, 400, "missing policy ID");
        return;
    }
    if (problem != NULL) {
        answer_text(c->x, 500, "policy lookup failed: %s", problem);
        return;
    }
    *s = (struct search){.one = true};
    must(id_parse(c->id, s->low));
    memcpy(s->high, s->low, ID_SIZE);
    c->state = s;
    query_start(c, &on, read_from_start);
}
