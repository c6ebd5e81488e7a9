/* Reads of allocations. A list is walked one allocation at a time: what an allocation refers to
 * (node, job, evaluation) is mostly remembered, and fetched where it is not. */
#include "alloc_json.h"
#include "answer.h"
#include "names.h"
#include "nouns.h"
#include "objects.h"
#include "query.h"
#include "wire/json.h"
#include "wire/wire.h"
#include <string.h>

#define PAGE 256u

enum shape { STUB, FULL };

/* What is asked for; lives as long as the exchange. */
struct selection {
    enum shape shape;
    bool one; /* not a list: the object itself */
    bool with_tasks, with_resources;
    bool any_job; /* also of earlier jobs of that name */
    Pb__List__By by;
    uint8_t id[ID_SIZE];
    bool of_deployment;              /* id is a deployment's: those of its job that are its own */
    const char *job, *job_namespace; /* by JOB, where it is not the path that names it */
};

struct walk {
    struct query *query;
    const struct selection *selection;
    const Pb__Objects *page;
    size_t at;
    uint64_t job_create_index; /* 0: of any job */
    bool began;
    const Pb__Eval *eval;
    bool eval_asked; /* for the allocation at `at` */
    Pb__Key eval_key;
    const Pb__Key *after; /* where this page begins */
    Pb__List list;
};

static void step(struct walk *w);

static void on_fetched(void *owner, const struct response *failed)
{
    struct walk *w = owner;
    if (failed != NULL)
        query_failed(w->query, failed);
    else
        step(w);
}

static void on_eval(void *owner, const struct response *r)
{
    struct walk *w = owner;
    const Pb__Object *o = (const Pb__Object *)r->body;
    if (r->code != PB__REPLY__CODE__OK && r->code != PB__REPLY__CODE__NOT_FOUND) {
        query_failed(w->query, r);
        return;
    }
    if (r->code == PB__REPLY__CODE__OK && object_eval(o) != NULL)
        w->eval = (const Pb__Eval *)wire_clone(w->query->arena, &object_eval(o)->base);
    step(w);
}

/* True if the evaluation of `a` is there, or is known not to be. */
static bool have_eval(struct walk *w, const Pb__Alloc *a)
{
    if (w->eval != NULL && w->eval->id.len == ID_SIZE && a->eval_id.len == ID_SIZE &&
        id_equal(w->eval->id.data, a->eval_id.data))
        return true;
    w->eval = NULL;
    if (w->eval_asked || a->eval_id.len != ID_SIZE)
        return true;
    w->eval_asked = true;
    pb__key__init(&w->eval_key);
    w->eval_key.has_table = w->eval_key.has_id = 1;
    w->eval_key.table = PB__TABLE__NAME__EVALS;
    w->eval_key.id = a->eval_id;
    gateway_get(w->query->gateway, w->query->params.stale, &w->eval_key, on_eval, w);
    return false;
}

/* Fills *p; false: something is being fetched, step is called again then. */
static bool have_parts(struct walk *w, struct alloc_parts *p)
{
    static const uint8_t no_id[ID_SIZE];
    struct names *names = w->query->gateway->names;
    const uint8_t *node = p->alloc->node_id.len == ID_SIZE ? p->alloc->node_id.data : no_id;
    bool whole_job = w->selection->shape == FULL || w->selection->with_resources;
    if (!names_node(names, node, &p->node_name)) {
        names_fetch_node(names, node, on_fetched, w);
        return false;
    }
    p->node_ip = names_node_ip(p->node_name);
    if ((!whole_job && !names_job_type(names, p->alloc, &p->job_type)) ||
        (whole_job && !names_job(names, p->alloc, &p->job))) {
        names_fetch_job(names, p->alloc, on_fetched, w);
        return false;
    }
    if (whole_job)
        p->job_type = p->job == NULL ? "" : p->job->type;
    if (w->selection->shape == FULL && !have_eval(w, p->alloc))
        return false;
    p->eval = w->eval;
    return true;
}

static bool is_wanted(const struct walk *w, const Pb__Alloc *a)
{
    const char *namespace = w->query->params.namespace;
    const char *own = a->namespace_ == NULL ? "default" : a->namespace_;
    if (w->selection->of_deployment &&
        (a->deployment_id.len != ID_SIZE || !id_equal(a->deployment_id.data, w->selection->id)))
        return false;
    if (w->selection->by == PB__LIST__BY__ALL && !w->selection->one &&
        strcmp(namespace, "*") != 0 && strcmp(namespace, own) != 0)
        return false;
    return w->job_create_index == 0 || a->job_create_index == w->job_create_index;
}

static void read_page(struct query *q);

static void finish_page(struct walk *w)
{
    struct query *q = w->query;
    if (w->selection->one)
        return;
    if (w->page->next == NULL) {
        query_list_page(q, NULL);
        return;
    }
    struct walk next = {.began = true, .job_create_index = w->job_create_index};
    next.after = (const Pb__Key *)wire_clone(exchange_arena(q->x), &w->page->next->base);
    q->kept = arena_copy(exchange_arena(q->x), &next, sizeof(next));
    query_list_page(q, read_page);
}

static void show(struct walk *w, const struct alloc_parts *p)
{
    const struct selection *s = w->selection;
    if (s->one)
        query_found(w->query, p->alloc->modify_index, alloc_full_json(p));
    else if (s->shape == FULL)
        query_list_add(w->query, alloc_full_json(p));
    else
        query_list_add(w->query, alloc_stub_json(p, s->with_resources, s->with_tasks));
}

static void step(struct walk *w)
{
    for (; w->at < w->page->n_objects; w->at++, w->eval_asked = false) {
        struct alloc_parts p = {.alloc = object_alloc(w->page->objects[w->at])};
        if (p.alloc == NULL || !is_wanted(w, p.alloc))
            continue;
        if (w->at + 1 < w->page->n_objects)
            p.tasks = object_alloc_tasks(w->page->objects[w->at + 1]);
        if (!have_parts(w, &p))
            return;
        bool only = w->selection->one; /* then show ends the query, and w with it */
        show(w, &p);
        if (only)
            return;
    }
    finish_page(w);
}

static void on_page(void *owner, const struct response *r)
{
    struct walk *w = owner;
    if (r->code != PB__REPLY__CODE__OK || r->body == NULL) {
        query_failed(w->query, r);
        return;
    }
    if (!w->began && !query_list_begin(w->query, ((const Pb__Objects *)r->body)->table_index))
        return;
    w->began = true;
    w->page = (const Pb__Objects *)wire_clone(w->query->arena, r->body);
    step(w);
}

static struct walk *new_walk(struct query *q)
{
    struct walk *w = arena_alloc(q->arena, sizeof(*w));
    if (q->kept != NULL)
        *w = *(const struct walk *)q->kept;
    w->query = q;
    w->selection = q->context->state;
    return w;
}

static void list_page(struct walk *w)
{
    const struct selection *s = w->selection;
    struct query *q = w->query;
    Pb__List *l = &w->list;
    pb__list__init(l);
    l->has_table = l->has_by = l->has_limit = l->has_with_tasks = 1;
    l->table = PB__TABLE__NAME__ALLOCS;
    l->by = s->by;
    l->limit = PAGE;
    l->with_tasks = s->with_tasks || s->shape == FULL;
    if (s->by == PB__LIST__BY__JOB) {
        bool named = s->job == NULL;
        l->namespace_ = (char *)(uintptr_t)(named ? q->params.namespace : s->job_namespace);
        l->name = (char *)(uintptr_t)(named ? q->context->id : s->job);
    } else if (s->by != PB__LIST__BY__ALL) {
        l->has_id = 1;
        l->id = (ProtobufCBinaryData){.len = ID_SIZE, .data = (uint8_t *)(uintptr_t)s->id};
    } else if (q->params.prefix[0] != '\0') {
        l->prefix = (char *)(uintptr_t)q->params.prefix;
    }
    l->after = (Pb__Key *)(uintptr_t)w->after;
    gateway_list(q->gateway, q->params.stale, l, on_page, w);
}

static void read_page(struct query *q)
{
    list_page(new_walk(q));
}

/* ---- of a job: unless all are wanted, only those of the job that has the name now */

static void on_current_job(void *owner, const struct response *r)
{
    struct walk *w = owner;
    const Pb__Object *o = (const Pb__Object *)r->body;
    if (r->code != PB__REPLY__CODE__OK && r->code != PB__REPLY__CODE__NOT_FOUND) {
        query_failed(w->query, r);
        return;
    }
    if (r->code == PB__REPLY__CODE__OK && object_job(o) != NULL)
        w->job_create_index = object_job(o)->create_index;
    list_page(w);
}

static void read_of_job(struct query *q)
{
    struct walk *w = new_walk(q);
    if (w->selection->any_job) {
        list_page(w);
        return;
    }
    Pb__Key *key = arena_alloc(q->arena, sizeof(*key));
    pb__key__init(key);
    key->has_table = 1;
    key->table = PB__TABLE__NAME__JOBS;
    key->namespace_ = (char *)(uintptr_t)q->params.namespace;
    key->name = (char *)(uintptr_t)q->context->id;
    gateway_get(q->gateway, q->params.stale, key, on_current_job, w);
}

/* ---- of a deployment: its job's, which are found by an index */

static void on_deployment(void *owner, const struct response *r)
{
    struct walk *w = owner;
    struct query *q = w->query;
    struct selection *s = q->context->state;
    const Pb__Deployment *d = object_deployment((const Pb__Object *)r->body);
    struct arena *keep = exchange_arena(q->x);
    if (r->code == PB__REPLY__CODE__NOT_FOUND) {
        query_list(q, r->index, json_array());
        return;
    }
    if (r->code != PB__REPLY__CODE__OK || d == NULL) {
        query_failed(q, r);
        return;
    }
    s->job = arena_strdup(keep, d->job_id);
    s->job_namespace = arena_strdup(keep, d->namespace_ == NULL ? "default" : d->namespace_);
    list_page(w);
}

static void read_of_deployment(struct query *q)
{
    struct walk *w = new_walk(q);
    if (w->selection->job != NULL) {
        list_page(w);
        return;
    }
    Pb__Key key = PB__KEY__INIT;
    key.has_table = key.has_id = 1;
    key.table = PB__TABLE__NAME__DEPLOYMENTS;
    key.id = (ProtobufCBinaryData){.len = ID_SIZE, .data = (uint8_t *)(uintptr_t)w->selection->id};
    gateway_get(q->gateway, q->params.stale, &key, on_deployment, w);
}

/* ---- one allocation */

static void on_tasks(void *owner, const struct response *r)
{
    struct walk *w = owner;
    const Pb__Object *o = (const Pb__Object *)r->body;
    if (r->code != PB__REPLY__CODE__OK && r->code != PB__REPLY__CODE__NOT_FOUND) {
        query_failed(w->query, r);
        return;
    }
    if (r->code == PB__REPLY__CODE__OK && object_alloc_tasks(o) != NULL) {
        w->page->objects[1] = (Pb__Object *)wire_clone(w->query->arena, &o->base);
    } else {
        Pb__Objects *page = (Pb__Objects *)(uintptr_t)w->page;
        page->n_objects = 1;
    }
    step(w);
}

static void on_alloc(void *owner, const struct response *r)
{
    struct walk *w = owner;
    struct query *q = w->query;
    const Pb__Object *o = (const Pb__Object *)r->body;
    if (r->code == PB__REPLY__CODE__NOT_FOUND) {
        query_missing(q, r->index, "alloc not found");
        return;
    }
    if (r->code != PB__REPLY__CODE__OK || object_alloc(o) == NULL) {
        query_failed(q, r);
        return;
    }
    Pb__Objects *page = arena_alloc(q->arena, sizeof(*page));
    pb__objects__init(page);
    page->n_objects = 2;
    page->objects = arena_array(q->arena, Pb__Object *, 2);
    page->objects[0] = (Pb__Object *)wire_clone(q->arena, &o->base);
    w->page = page;
    Pb__Key *key = arena_alloc(q->arena, sizeof(*key));
    pb__key__init(key);
    key->has_table = key->has_id = 1;
    key->table = PB__TABLE__NAME__ALLOC_TASKS;
    key->id = object_alloc(page->objects[0])->id;
    gateway_get(q->gateway, q->params.stale, key, on_tasks, w);
}

static void read_one(struct query *q)
{
    struct walk *w = new_walk(q);
    Pb__Key *key = arena_alloc(q->arena, sizeof(*key));
    pb__key__init(key);
    key->has_table = key->has_id = 1;
    key->table = PB__TABLE__NAME__ALLOCS;
    key->id = (ProtobufCBinaryData){.len = ID_SIZE, .data = (uint8_t *)(uintptr_t)w->selection->id};
    gateway_get(q->gateway, q->params.stale, key, on_alloc, w);
}

/* ---- routes */

static struct selection *select_of(struct call_context *c, enum shape shape, Pb__List__By by)
{
    struct selection *s = arena_alloc(exchange_arena(c->x), sizeof(*s));
    s->shape = shape;
    s->by = by;
    s->with_tasks = true;
    c->state = s;
    return s;
}

/* False: it has been answered. */
static bool take_id(struct call_context *c, struct selection *s, const char *what)
{
    const char *problem = id_problem(c->id);
    if (problem != NULL) {
        answer_text(c->x, 500, "%s lookup failed: %s", what, problem);
        return false;
    }
    must(id_parse(c->id, s->id));
    return true;
}

void allocations_list(struct call_context *c)
{
    char buffer[128];
    struct selection *s = select_of(c, STUB, PB__LIST__BY__ALL);
    const char *problem = id_prefix_problem(c->params.prefix, buffer);
    if (!route_bool(c, "task_states", &s->with_tasks) ||
        !route_bool(c, "resources", &s->with_resources))
        return;
    if (problem != NULL) {
        answer_text(c->x, 500, "alloc lookup failed: %s", problem);
        return;
    }
    struct watch_on on = {.tables = FEED_TABLE(ALLOCS)};
    if (strcmp(c->params.namespace, "*") != 0)
        on.namespace = c->params.namespace;
    on.has_id = c->params.prefix[0] != '\0' && id_prefix_range(c->params.prefix, on.low, on.high);
    query_start(c, &on, read_page);
}

void job_allocations(struct call_context *c)
{
    struct selection *s = select_of(c, STUB, PB__LIST__BY__JOB);
    struct watch_on on = {
        .tables = FEED_TABLE(ALLOCS), .namespace = c->params.namespace, .job = c->id};
    if (route_bool(c, "all", &s->any_job))
        query_start(c, &on, read_of_job);
}

void evaluation_allocations(struct call_context *c)
{
    struct selection *s = select_of(c, STUB, PB__LIST__BY__EVAL);
    struct watch_on on = {.tables = FEED_TABLE(ALLOCS)};
    if (take_id(c, s, "alloc"))
        query_start(c, &on, read_page);
}

void deployment_allocations(struct call_context *c)
{
    struct selection *s = select_of(c, STUB, PB__LIST__BY__JOB);
    struct watch_on on = {.tables = FEED_TABLE(ALLOCS) | FEED_TABLE(DEPLOYMENTS)};
    s->of_deployment = true;
    if (take_id(c, s, "deployment"))
        query_start(c, &on, read_of_deployment);
}

void node_allocations(struct call_context *c)
{
    struct selection *s = select_of(c, FULL, PB__LIST__BY__NODE);
    struct watch_on on = {.tables = FEED_TABLE(ALLOCS)};
    if (c->id[0] == '\0')
        answer_text(c->x, 500, "missing node ID");
    else if (take_id(c, s, "node"))
        query_start(c, &on, read_page);
}

void allocation_get(struct call_context *c)
{
    struct selection *s = select_of(c, FULL, PB__LIST__BY__ALL);
    struct watch_on on = {.tables = FEED_TABLE(ALLOCS), .has_id = true};
    const char *slash = strchr(c->id, '/');
    s->one = true;
    if (slash != NULL && slash[1] != '\0' && slash - c->id == ID_TEXT_SIZE - 1) {
        answer_text(c->x, 404, "resource not found");
        return;
    }
    if (!take_id(c, s, "alloc"))
        return;
    memcpy(on.low, s->id, ID_SIZE);
    memcpy(on.high, s->id, ID_SIZE);
    query_start(c, &on, read_one);
}
