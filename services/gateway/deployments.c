/* Reads of deployments. */
#include "answer.h"
#include "nouns.h"
#include "objects.h"
#include "query.h"
#include "wire/json.h"
#include "wire/wire.h"
#include <string.h>

/* q->kept: the create index of the job that has the name now; NULL: deployments of any. */
static json_t *show(struct query *q, const Pb__Object *o)
{
    const Pb__Deployment *d = object_deployment(o);
    const uint64_t *create_index = q->kept;
    if (d == NULL ||
        strcmp(d->namespace_ == NULL ? "default" : d->namespace_, q->params.namespace) != 0)
        return NULL;
    if (create_index != NULL && *create_index != d->job_create_index)
        return NULL;
    return wire_to_json(&d->base);
}

static void read_all(struct query *q)
{
    Pb__List l = PB__LIST__INIT;
    l.has_table = l.has_by = 1;
    l.table = PB__TABLE__NAME__DEPLOYMENTS;
    l.by = PB__LIST__BY__ALL;
    if (q->params.prefix[0] != '\0')
        l.prefix = (char *)(uintptr_t)q->params.prefix;
    query_objects(q, &l, show);
}

void deployments_list(struct call_context *c)
{
    char buffer[128];
    const char *problem = id_prefix_problem(c->params.prefix, buffer);
    struct watch_on on = {.tables = FEED_TABLE(DEPLOYMENTS), .namespace = c->params.namespace};
    if (problem != NULL) {
        answer_text(c->x, 500, "%s", problem);
        return;
    }
    on.has_id = c->params.prefix[0] != '\0' && id_prefix_range(c->params.prefix, on.low, on.high);
    query_start(c, &on, read_all);
}

/* ---- of a job */

static Pb__List of_job(const struct query *q)
{
    Pb__List l = PB__LIST__INIT;
    l.has_table = l.has_by = 1;
    l.table = PB__TABLE__NAME__DEPLOYMENTS;
    l.by = PB__LIST__BY__JOB;
    l.namespace_ = (char *)(uintptr_t)q->params.namespace;
    l.name = (char *)(uintptr_t)q->context->id;
    return l;
}

static void read_of_job(struct query *q)
{
    const Pb__List l = of_job(q);
    query_objects(q, &l, show);
}

static void on_job(void *owner, const struct response *r)
{
    struct query *q = owner;
    const Pb__Object *o = (const Pb__Object *)r->body;
    if (r->code != PB__REPLY__CODE__OK && r->code != PB__REPLY__CODE__NOT_FOUND) {
        query_failed(q, r);
        return;
    }
    if (r->code == PB__REPLY__CODE__OK && object_job(o) != NULL)
        q->kept = arena_copy(exchange_arena(q->x), &object_job(o)->create_index, sizeof(uint64_t));
    read_of_job(q);
}

static void read_of_current_job(struct query *q)
{
    Pb__Key key = PB__KEY__INIT;
    key.has_table = 1;
    key.table = PB__TABLE__NAME__JOBS;
    key.namespace_ = (char *)(uintptr_t)q->params.namespace;
    key.name = (char *)(uintptr_t)q->context->id;
    gateway_get(q->gateway, q->params.stale, &key, on_job, q);
}

static struct watch_on on_deployments(const struct call_context *c)
{
    return (struct watch_on){
        .tables = FEED_TABLE(DEPLOYMENTS), .namespace = c->params.namespace, .job = c->id};
}

void job_deployments(struct call_context *c)
{
    struct watch_on on = on_deployments(c);
    bool all = false;
    if (!route_bool(c, "all", &all))
        return;
    query_start(c, &on, all ? read_of_job : read_of_current_job);
}

/* A job has as many deployments as versions that are not collected yet: the newest is the last. */
static void on_latest(void *owner, const struct response *r)
{
    struct query *q = owner;
    const Pb__Objects *page = (const Pb__Objects *)r->body;
    if (r->code != PB__REPLY__CODE__OK || page == NULL) {
        query_failed(q, r);
        return;
    }
    if (page->next != NULL) {
        q->after = (Pb__Key *)wire_clone(exchange_arena(q->x), &page->next->base);
        q->read(q);
        return;
    }
    const Pb__Deployment *d =
        page->n_objects > 0 ? object_deployment(page->objects[page->n_objects - 1]) : NULL;
    if (d == NULL)
        query_found(q, page->table_index, json_null());
    else
        query_found(q, d->modify_index, wire_to_json(&d->base));
}

static void read_latest(struct query *q)
{
    Pb__List l = of_job(q);
    l.after = q->after;
    gateway_list(q->gateway, q->params.stale, &l, on_latest, q);
}

void job_deployment(struct call_context *c)
{
    struct watch_on on = on_deployments(c);
    query_start(c, &on, read_latest);
}

/* ---- one */

static void on_deployment(void *owner, const struct response *r)
{
    struct query *q = owner;
    const Pb__Object *o = (const Pb__Object *)r->body;
    if (r->code == PB__REPLY__CODE__NOT_FOUND)
        query_missing(q, r->index, "deployment not found");
    else if (r->code != PB__REPLY__CODE__OK || object_deployment(o) == NULL)
        query_failed(q, r);
    else
        query_found(q, object_deployment(o)->modify_index,
                    wire_to_json(&object_deployment(o)->base));
}

static void read_deployment(struct query *q)
{
    Pb__Key key = PB__KEY__INIT;
    key.has_table = key.has_id = 1;
    key.table = PB__TABLE__NAME__DEPLOYMENTS;
    key.id = (ProtobufCBinaryData){.len = ID_SIZE, .data = q->context->state};
    gateway_get(q->gateway, q->params.stale, &key, on_deployment, q);
}

void deployment_get(struct call_context *c)
{
    struct watch_on on = {.tables = FEED_TABLE(DEPLOYMENTS), .has_id = true};
    const char *problem = id_problem(c->id);
    if (c->id[0] == '\0') {
        answer_text(c->x, 500, "missing deployment ID");
        return;
    }
    if (problem != NULL) {
        answer_text(c->x, 500, "deployment lookup failed: %s", problem);
        return;
    }
    c->state = arena_alloc(exchange_arena(c->x), ID_SIZE);
    must(id_parse(c->id, c->state));
    memcpy(on.low, c->state, ID_SIZE);
    memcpy(on.high, c->state, ID_SIZE);
    query_start(c, &on, read_deployment);
}
