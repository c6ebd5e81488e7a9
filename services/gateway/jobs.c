/* Reads of jobs. */
#include "answer.h"
#include "jobfile/diff.h"
#include "nouns.h"
#include "objects.h"
#include "query.h"
#include "sched/fleet.h"
#include "wire/json.h"
#include "wire/wire.h"
#include <stdlib.h>
#include <string.h>

#define PAGE 500u

static Pb__Key *job_key(struct query *q, Pb__Table__Name table)
{
    Pb__Key *key = arena_alloc(q->arena, sizeof(*key));
    pb__key__init(key);
    key->has_table = 1;
    key->table = table;
    key->namespace_ = (char *)(uintptr_t)q->params.namespace;
    key->name = (char *)(uintptr_t)q->context->id;
    return key;
}

static struct watch_on on_job(const struct call_context *c, uint32_t tables)
{
    return (struct watch_on){.tables = tables, .namespace = c->params.namespace, .job = c->id};
}

/* ---- one job */

static void on_job_read(void *owner, const struct response *r)
{
    struct query *q = owner;
    const Pb__Object *o = (const Pb__Object *)r->body;
    if (r->code == PB__REPLY__CODE__NOT_FOUND)
        query_missing(q, r->index, "job not found");
    else if (r->code != PB__REPLY__CODE__OK || object_job(o) == NULL)
        query_failed(q, r);
    else
        query_found(q, object_job(o)->modify_index, wire_to_json(&object_job(o)->base));
}

static void read_job(struct query *q)
{
    gateway_get(q->gateway, q->params.stale, job_key(q, PB__TABLE__NAME__JOBS), on_job_read, q);
}

void job_get(struct call_context *c)
{
    struct watch_on on = on_job(c, FEED_TABLE(JOBS));
    query_start(c, &on, read_job);
}

/* ---- its summary */

static void on_summary_read(void *owner, const struct response *r)
{
    struct query *q = owner;
    const Pb__Object *o = (const Pb__Object *)r->body;
    if (r->code == PB__REPLY__CODE__NOT_FOUND)
        query_missing(q, r->index, "job not found");
    else if (r->code != PB__REPLY__CODE__OK || object_summary(o) == NULL)
        query_failed(q, r);
    else
        query_found(q, object_summary(o)->modify_index, wire_to_json(&object_summary(o)->base));
}

static void read_summary(struct query *q)
{
    gateway_get(q->gateway, q->params.stale, job_key(q, PB__TABLE__NAME__JOB_SUMMARIES),
                on_summary_read, q);
}

void job_summary(struct call_context *c)
{
    struct watch_on on = on_job(c, FEED_TABLE(JOB_SUMMARIES));
    query_start(c, &on, read_summary);
}

/* ---- its versions */

static int compare_newest_first(const void *a, const void *b)
{
    const Pb__Job *x = *(const Pb__Job *const *)a, *y = *(const Pb__Job *const *)b;
    return x->version < y->version ? 1 : x->version > y->version ? -1 : 0;
}

static const Pb__Job **list_versions(struct query *q, const Pb__Objects *objects, size_t *count)
{
    const Pb__Job **jobs = arena_array(q->arena, const Pb__Job *, objects->n_objects + 1);
    *count = 0;
    for (size_t i = 0; i < objects->n_objects; i++)
        if (object_job(objects->objects[i]) != NULL)
            jobs[(*count)++] = object_job(objects->objects[i]);
    qsort(jobs, *count, sizeof(*jobs), compare_newest_first);
    return jobs;
}

/* What each version changed of the one before it. */
static json_t *diffs_to_json(const Pb__Job *const *jobs, size_t count)
{
    json_t *diffs = json_array();
    for (size_t i = 0; i + 1 < count; i++)
        json_array_append_new(diffs, job_diff(jobs[i + 1], jobs[i]));
    return diffs;
}

static void on_versions_read(void *owner, const struct response *r)
{
    struct query *q = owner;
    const Pb__Objects *objects = (const Pb__Objects *)r->body;
    const bool *with_diffs = q->context->state;
    uint64_t index = 0;
    size_t count;
    if (r->code != PB__REPLY__CODE__OK || objects == NULL) {
        query_failed(q, r);
        return;
    }
    if (objects->n_objects == 0) {
        query_missing(q, objects->table_index, "job versions not found");
        return;
    }
    const Pb__Job **jobs = list_versions(q, objects, &count);
    json_t *versions = json_array(), *diffs = json_null();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(versions, wire_to_json(&jobs[i]->base));
        if (jobs[i]->modify_index > index)
            index = jobs[i]->modify_index;
    }
    if (*with_diffs && count > 1)
        diffs = diffs_to_json(jobs, count);
    query_found(q, index,
                json_pack("{so,sI,sb,si,so}", "Diffs", diffs, "Index", (json_int_t)index,
                          "KnownLeader", 1, "LastContact", 0, "Versions", versions));
}

static void read_versions(struct query *q)
{
    Pb__List list = PB__LIST__INIT;
    list.has_table = list.has_by = 1;
    list.table = PB__TABLE__NAME__JOB_VERSIONS;
    list.by = PB__LIST__BY__JOB;
    list.namespace_ = (char *)(uintptr_t)q->params.namespace;
    list.name = (char *)(uintptr_t)q->context->id;
    gateway_list(q->gateway, q->params.stale, &list, on_versions_read, q);
}

void job_versions(struct call_context *c)
{
    struct watch_on on = on_job(c, FEED_TABLE(JOBS));
    bool *with_diffs = arena_alloc(exchange_arena(c->x), sizeof(*with_diffs));
    *with_diffs = false;
    if (!route_bool(c, "diffs", with_diffs))
        return;
    c->state = with_diffs;
    query_start(c, &on, read_versions);
}

/* ---- the list: jobs and their summaries, page by page, side by side */

struct listing {
    struct query *query;
    const Pb__Objects *jobs;
    Pb__List list;                          /* as asked for this page of jobs */
    const char *next_namespace, *next_name; /* in the exchange's arena; NULL: no more */
    bool began;
    bool one_page; /* the client asks for the next one itself */
};

static const char *text_or(const char *text, const char *otherwise)
{
    return text == NULL ? otherwise : text;
}

static json_t *stub_of(const Pb__Job *job, const Pb__JobSummary *summary)
{
    Pb__JobSummary none = PB__JOB_SUMMARY__INIT;
    if (summary == NULL) {
        none.namespace_ = job->namespace_;
        none.job_id = job->id;
        summary = &none;
    }
    json_t *stub = json_object(), *datacenters = json_array();
    for (size_t i = 0; i < job->n_datacenters; i++)
        json_array_append_new(datacenters, json_text(job->datacenters[i]));
    json_put(stub, "ID", json_text(job->id));
    json_put(stub, "ParentID", json_text(job->parent_id));
    json_put(stub, "Name", json_text(job->name));
    json_put(stub, "Namespace", json_text(text_or(job->namespace_, "default")));
    json_put(stub, "Datacenters", datacenters);
    json_put(stub, "Multiregion", json_null());
    json_put(stub, "Type", json_text(job->type));
    json_put(stub, "Priority", json_integer(job->priority));
    json_put(stub, "Periodic", json_boolean(job->periodic != NULL));
    json_put(stub, "ParameterizedJob", json_boolean(job->parameterized_job != NULL));
    json_put(stub, "Stop", json_boolean(job->stop));
    json_put(stub, "Status", json_text(job->status));
    json_put(stub, "StatusDescription", json_text(job->status_description));
    json_put(stub, "JobSummary", wire_to_json(&summary->base));
    json_put(stub, "CreateIndex", json_integer((json_int_t)job->create_index));
    json_put(stub, "ModifyIndex", json_integer((json_int_t)job->modify_index));
    json_put(stub, "JobModifyIndex", json_integer((json_int_t)job->job_modify_index));
    if (job->node_pool != NULL)
        json_put(stub, "NodePool", json_text(job->node_pool));
    json_put(stub, "SubmitTime", json_integer(job->submit_time));
    return stub;
}

static bool same_job(const Pb__Job *job, const Pb__JobSummary *s)
{
    return strcmp(text_or(job->id, ""), text_or(s->job_id, "")) == 0 &&
           strcmp(text_or(job->namespace_, "default"), text_or(s->namespace_, "default")) == 0;
}

static const Pb__JobSummary *summary_of(const Pb__Objects *summaries, const Pb__Job *job,
                                        size_t *from)
{
    for (size_t i = 0; i < summaries->n_objects; i++) {
        size_t at = (*from + i) % summaries->n_objects; /* both are in one order: nearly always 0 */
        const Pb__JobSummary *s = object_summary(summaries->objects[at]);
        if (s != NULL && same_job(job, s)) {
            *from = at + 1;
            return s;
        }
    }
    return NULL;
}

/* A list of one pool's jobs leaves the others out. */
static bool is_wanted(const struct query *q, const Pb__Job *job)
{
    const char *pool = q->context->state;
    return pool == NULL || strcmp(pool, pool_or_default(job->node_pool)) == 0;
}

static void read_page(struct query *q);

static void on_summaries_page(void *owner, const struct response *r)
{
    struct query *q = owner;
    struct listing *l = q->state;
    const Pb__Objects *summaries = (const Pb__Objects *)r->body;
    if (r->code != PB__REPLY__CODE__OK || summaries == NULL) {
        query_failed(q, r);
        return;
    }
    uint64_t index = l->jobs->table_index > summaries->table_index ? l->jobs->table_index
                                                                   : summaries->table_index;
    const Pb__Key *next = l->jobs->next;
    if (l->one_page && next != NULL)
        exchange_set(q->x, "X-Nomad-NextToken",
                     arena_printf(q->arena, "%s.%s", text_or(next->namespace_, "default"),
                                  text_or(next->name, "")));
    if (!l->began && !query_list_begin(q, index))
        return;
    size_t from = 0;
    for (size_t i = 0; i < l->jobs->n_objects; i++) {
        const Pb__Job *job = object_job(l->jobs->objects[i]);
        if (job != NULL && is_wanted(q, job))
            query_list_add(q, stub_of(job, summary_of(summaries, job, &from)));
    }
    if (next == NULL || l->one_page) {
        query_list_page(q, NULL);
        return;
    }
    struct arena *keep = exchange_arena(q->x);
    struct listing go_on = {.query = q, .began = true};
    go_on.next_namespace = arena_strdup(keep, text_or(next->namespace_, "default"));
    go_on.next_name = arena_strdup(keep, text_or(next->name, ""));
    q->kept = arena_copy(keep, &go_on, sizeof(go_on));
    query_list_page(q, read_page);
}

static void on_jobs_page(void *owner, const struct response *r)
{
    struct query *q = owner;
    struct listing *l = q->state;
    if (r->code != PB__REPLY__CODE__OK || r->body == NULL) {
        query_failed(q, r);
        return;
    }
    l->jobs = (const Pb__Objects *)wire_clone(q->arena, r->body);
    l->list.table = PB__TABLE__NAME__JOB_SUMMARIES;
    if (l->list.after != NULL)
        l->list.after->table = PB__TABLE__NAME__JOB_SUMMARIES;
    gateway_list(q->gateway, q->params.stale, &l->list, on_summaries_page, q);
}

/* "namespace.id" of the last job of the page before, as X-Nomad-NextToken said; a namespace's name
 * holds no point. */
static void take_page(const struct query *q, struct listing *l)
{
    const char *most = exchange_arg(q->x, "per_page"), *token = exchange_arg(q->x, "next_token");
    const char *point = token != NULL ? strchr(token, '.') : NULL;
    uint32_t limit = most != NULL ? (uint32_t)strtoul(most, NULL, 10) : 0;
    l->one_page = limit > 0;
    if (limit > 0 && limit < PAGE)
        l->list.limit = limit;
    if (point == NULL)
        return;
    l->next_namespace = arena_printf(q->arena, "%.*s", (int)(point - token), token);
    l->next_name = point + 1;
}

static void read_page(struct query *q)
{
    struct listing *l = arena_alloc(q->arena, sizeof(*l));
    if (q->kept != NULL)
        *l = *(const struct listing *)q->kept;
    l->query = q;
    q->state = l;
    pb__list__init(&l->list);
    l->list.has_table = l->list.has_limit = 1;
    l->list.table = PB__TABLE__NAME__JOBS;
    l->list.namespace_ = (char *)(uintptr_t)q->params.namespace;
    l->list.prefix = (char *)(uintptr_t)q->params.prefix;
    l->list.limit = PAGE;
    if (q->kept == NULL)
        take_page(q, l);
    if (l->next_name != NULL) {
        Pb__Key *after = arena_alloc(q->arena, sizeof(*after));
        pb__key__init(after);
        after->has_table = 1;
        after->table = PB__TABLE__NAME__JOBS;
        after->namespace_ = (char *)(uintptr_t)l->next_namespace;
        after->name = (char *)(uintptr_t)l->next_name;
        l->list.after = after;
    }
    gateway_list(q->gateway, q->params.stale, &l->list, on_jobs_page, q);
}

static bool page_is_sound(struct call_context *c)
{
    const char *most = exchange_arg(c->x, "per_page"), *token = exchange_arg(c->x, "next_token");
    if (most != NULL &&
        (most[0] == '\0' || strspn(most, "0123456789") != strlen(most) || strlen(most) > 9)) {
        answer_text(c->x, 400, "per_page must be a number of jobs, at most 999999999");
        return false;
    }
    if (token != NULL && token[0] != '\0' && strchr(token, '.') == NULL) {
        answer_text(c->x, 400,
                    "next_token must be what X-Nomad-NextToken said with the page before");
        return false;
    }
    return true;
}

void jobs_list(struct call_context *c)
{
    if (!page_is_sound(c))
        return;
    bool all = strcmp(c->params.namespace, "*") == 0;
    struct watch_on on = {.tables = FEED_TABLE(JOBS) | FEED_TABLE(JOB_SUMMARIES),
                          .namespace = all ? NULL : c->params.namespace,
                          .job_prefix = c->params.prefix};
    query_start(c, &on, read_page);
}

void node_pool_jobs(struct call_context *c)
{
    c->state = (void *)(uintptr_t)c->id;
    jobs_list(c);
}
