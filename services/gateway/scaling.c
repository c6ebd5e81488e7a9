/* How many of a job's groups are wanted and run, and the writes that change how many. */
#include "answer.h"
#include "base/id.h"
#include "body.h"
#include "command.pb-c.h"
#include "jobfile/jobfile.h"
#include "jobfile/scaling.h"
#include "nouns.h"
#include "objects.h"
#include "query.h"
#include "wire/json.h"
#include "wire/wire.h"
#include <stdlib.h>
#include <string.h>

#define PAGE         1000u
#define MOST_TRIES   5          /* another write may come between our reading and writing */
#define MOST_MESSAGE 1024u      /* bytes; 20 of them are kept for each group */
#define MOST_META    (4u << 10) /* bytes, as JSON */

static Pb__Key job_key(const struct call_context *c, Pb__Table__Name table)
{
    Pb__Key key = PB__KEY__INIT;
    key.has_table = 1;
    key.table = table;
    key.namespace_ = (char *)(uintptr_t)c->params.namespace;
    key.name = (char *)(uintptr_t)c->id;
    return key;
}

/* ---- reading */

/* What is counted of one group. */
struct tally {
    unsigned placed, running, healthy, unhealthy;
};

struct scale_view {
    const Pb__Job *job;
    const Pb__ScalingEvents *events; /* NULL: none */
    struct tally *tallies;           /* by group */
    uint64_t index;
    const Pb__Key *after;
};

static void look_at(struct scale_view *s, uint64_t index)
{
    if (index > s->index)
        s->index = index;
}

static void count(struct scale_view *s, const Pb__Alloc *a)
{
    size_t i = 0;
    look_at(s, a->modify_index);
    if (a->job_create_index != s->job->create_index || a->desired != PB__ALLOC__DESIRED__RUN ||
        a->client_status == PB__ALLOC__CLIENT_STATUS__COMPLETE ||
        a->client_status == PB__ALLOC__CLIENT_STATUS__FAILED ||
        a->client_status == PB__ALLOC__CLIENT_STATUS__LOST)
        return;
    while (i < s->job->n_task_groups &&
           strcmp(s->job->task_groups[i]->name, a->task_group == NULL ? "" : a->task_group) != 0)
        i++;
    if (i == s->job->n_task_groups)
        return;
    s->tallies[i].placed++;
    s->tallies[i].running += a->client_status == PB__ALLOC__CLIENT_STATUS__RUNNING;
    if (a->deployment_status != NULL && a->deployment_status->has_healthy) {
        s->tallies[i].healthy += a->deployment_status->healthy;
        s->tallies[i].unhealthy += !a->deployment_status->healthy;
    }
}

static json_t *event_json(const Pb__ScalingEvent *e)
{
    json_t *tree = wire_to_json(&e->base);
    if (!e->has_count)
        json_put(tree, "Count", json_null());
    if (e->eval_id.len != ID_SIZE)
        json_put(tree, "EvalID", json_null());
    return tree;
}

static json_t *events_json(const Pb__ScalingEvents *all, const char *group)
{
    for (size_t i = 0; all != NULL && i < all->n_groups; i++) {
        const Pb__GroupScalingEvents *g = all->groups[i];
        if (strcmp(g->task_group, group) != 0)
            continue;
        json_t *list = json_array();
        for (size_t k = 0; k < g->n_events; k++)
            json_array_append_new(list, event_json(g->events[k]));
        return list;
    }
    return json_null();
}

static json_t *scale_json(const struct scale_view *s)
{
    json_t *groups = json_object();
    for (size_t i = 0; i < s->job->n_task_groups; i++) {
        const Pb__TaskGroup *g = s->job->task_groups[i];
        const struct tally *t = &s->tallies[i];
        json_put(groups, g->name,
                 json_pack("{si,so,si,si,si,si}", "Desired", (int)g->count, "Events",
                           events_json(s->events, g->name), "Healthy", (int)t->healthy, "Placed",
                           (int)t->placed, "Running", (int)t->running, "Unhealthy",
                           (int)t->unhealthy));
    }
    return json_pack("{sI,so,sI,sb,so,so}", "JobCreateIndex", (json_int_t)s->job->create_index,
                     "JobID", json_text(s->job->id), "JobModifyIndex",
                     (json_int_t)s->job->modify_index, "JobStopped", s->job->stop != 0, "Namespace",
                     json_text(s->job->namespace_ == NULL ? "default" : s->job->namespace_),
                     "TaskGroups", groups);
}

static void list_allocs(struct query *q);

static void on_allocs(void *owner, const struct response *r)
{
    struct query *q = owner;
    struct scale_view *s = q->state;
    const Pb__Objects *page = (const Pb__Objects *)r->body;
    if (r->code != PB__REPLY__CODE__OK || page == NULL) {
        query_failed(q, r);
        return;
    }
    for (size_t i = 0; i < page->n_objects; i++)
        if (object_alloc(page->objects[i]) != NULL)
            count(s, object_alloc(page->objects[i]));
    if (page->next != NULL) {
        s->after = (const Pb__Key *)wire_clone(q->arena, &page->next->base);
        list_allocs(q);
    } else {
        query_found(q, s->index, scale_json(s));
    }
}

static void list_allocs(struct query *q)
{
    const struct scale_view *s = q->state;
    Pb__List l = PB__LIST__INIT;
    l.has_table = l.has_by = l.has_limit = 1;
    l.table = PB__TABLE__NAME__ALLOCS;
    l.by = PB__LIST__BY__JOB;
    l.namespace_ = (char *)(uintptr_t)q->params.namespace;
    l.name = (char *)(uintptr_t)q->context->id;
    l.limit = PAGE;
    l.after = (Pb__Key *)(uintptr_t)s->after;
    gateway_list(q->gateway, q->params.stale, &l, on_allocs, q);
}

static void on_events(void *owner, const struct response *r)
{
    struct query *q = owner;
    struct scale_view *s = q->state;
    const Pb__ScalingEvents *events = object_scaling_events((const Pb__Object *)r->body);
    if (r->code != PB__REPLY__CODE__OK && r->code != PB__REPLY__CODE__NOT_FOUND) {
        query_failed(q, r);
        return;
    }
    if (r->code == PB__REPLY__CODE__OK && events != NULL) {
        s->events = (const Pb__ScalingEvents *)wire_clone(q->arena, &events->base);
        look_at(s, events->modify_index);
    }
    list_allocs(q);
}

static void on_job(void *owner, const struct response *r)
{
    struct query *q = owner;
    struct scale_view *s = q->state;
    const Pb__Job *job = object_job((const Pb__Object *)r->body);
    if (r->code == PB__REPLY__CODE__NOT_FOUND) {
        query_missing(q, r->index, "job not found");
        return;
    }
    if (r->code != PB__REPLY__CODE__OK || job == NULL) {
        query_failed(q, r);
        return;
    }
    s->job = (const Pb__Job *)wire_clone(q->arena, &job->base);
    s->tallies = arena_array(q->arena, struct tally, job->n_task_groups + 1);
    look_at(s, job->modify_index);
    Pb__Key key = job_key(q->context, PB__TABLE__NAME__SCALING_EVENTS);
    gateway_get(q->gateway, q->params.stale, &key, on_events, q);
}

static void read_scale(struct query *q)
{
    Pb__Key key = job_key(q->context, PB__TABLE__NAME__JOBS);
    q->state = arena_alloc(q->arena, sizeof(struct scale_view));
    gateway_get(q->gateway, q->params.stale, &key, on_job, q);
}

void job_scale_get(struct call_context *c)
{
    struct watch_on on = {.tables =
                              FEED_TABLE(JOBS) | FEED_TABLE(ALLOCS) | FEED_TABLE(SCALING_EVENTS),
                          .namespace = c->params.namespace,
                          .job = c->id};
    query_start(c, &on, read_scale);
}

/* ---- writing: the job is read, its count set, and it is registered if nobody else has changed it
 * meanwhile */

struct scale_write {
    struct call_context *context;
    const char *group;
    Pb__ScalingEvent event;
    unsigned tries;
    const char *refused; /* a note of the refusal is on its way; NULL: none */
};

static json_t *outcome_json(const Pb__Outcome *o)
{
    bool has_eval = o->eval_id.len == ID_SIZE;
    return json_pack(
        "{sI,so,sI,sI,sb,si,ss}", "EvalCreateIndex", (json_int_t)(has_eval ? o->index : 0),
        "EvalID", json_id_of(o->eval_id), "Index", (json_int_t)o->index, "JobModifyIndex",
        (json_int_t)o->job_modify_index, "KnownLeader", 1, "LastContact", 0, "Warnings", "");
}

static void read_for_write(struct scale_write *w);

static void send_note(struct scale_write *w, const Pb__ScalingEvent *event);

/* Who looks at the events shall see why the count did not change. */
static void note_refusal(struct scale_write *w, const char *reason)
{
    struct arena *a = exchange_arena(w->context->x);
    Pb__ScalingEvent event = w->event;
    json_t *meta = json_pack("{sI,so}", "OriginalCount", (json_int_t)w->event.count,
                             "OriginalMessage", json_text(w->event.message));
    char *text = json_dumps(meta, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(meta);
    w->refused = arena_strdup(a, reason);
    event.message = (char *)(uintptr_t)w->refused;
    event.has_count = 0;
    event.has_error = event.error = 1;
    event.meta_json = arena_strdup(a, text);
    free(text);
    send_note(w, &event);
}

static void on_outcome(void *owner, const struct response *r)
{
    struct scale_write *w = owner;
    struct call_context *c = w->context;
    const Pb__Outcome *o = (const Pb__Outcome *)r->body;
    const char *reason = o == NULL || o->reason == NULL ? "refused" : o->reason;
    if (r->code != PB__REPLY__CODE__OK || o == NULL) {
        answer_failure(c->x, r);
    } else if (w->refused != NULL) {
        answer_text(c->x, 400, "%s", w->refused);
    } else if (o->code == PB__OUTCOME__CODE__APPLIED) {
        answer_index(c->x, o->index);
        answer_json(c->x, outcome_json(o), c->params.pretty);
    } else if (o->code == PB__OUTCOME__CODE__STALE && ++w->tries < MOST_TRIES) {
        read_for_write(w);
    } else {
        c->gateway->counted.refused++;
        if (strstr(reason, "active deployment") != NULL)
            note_refusal(w, reason);
        else
            answer_text(c->x, o->code == PB__OUTCOME__CODE__NOT_FOUND ? 404 : 400, "%s", reason);
    }
}

static void send_note(struct scale_write *w, const Pb__ScalingEvent *event)
{
    Pb__ScalingNote note = PB__SCALING_NOTE__INIT;
    Pb__Command command = PB__COMMAND__INIT;
    note.namespace_ = (char *)(uintptr_t)w->context->params.namespace;
    note.job_id = (char *)(uintptr_t)w->context->id;
    note.task_group = (char *)(uintptr_t)w->group;
    note.event = (Pb__ScalingEvent *)(uintptr_t)event;
    command.body_case = PB__COMMAND__BODY_SCALING_NOTE;
    command.scaling_note = &note;
    gateway_apply(w->context->gateway, &command, on_outcome, w);
}

/* False: answered. */
static bool is_within(struct call_context *c, const Pb__TaskGroup *group, int64_t wanted)
{
    json_t *scaling = group_scaling(group);
    bool bound = json_is_object(scaling);
    long long least = json_integer_value(json_object_get(scaling, "Min")),
              most = json_integer_value(json_object_get(scaling, "Max"));
    json_decref(scaling);
    if (bound && wanted < least)
        answer_text(c->x, 400, "group count was less than scaling policy minimum: %lld < %lld",
                    (long long)wanted, least);
    else if (bound && wanted > most)
        answer_text(c->x, 400, "group count was greater than scaling policy maximum: %lld > %lld",
                    (long long)wanted, most);
    else
        return true;
    return false;
}

static void register_scaled(struct scale_write *w, const Pb__Job *now, size_t at)
{
    struct arena *a = exchange_arena(w->context->x);
    Pb__Job *job = (Pb__Job *)wire_clone(a, &now->base);
    Pb__JobRegister body = PB__JOB_REGISTER__INIT;
    Pb__Command command = PB__COMMAND__INIT;
    job->task_groups[at]->has_count = 1;
    job->task_groups[at]->count = (uint32_t)w->event.count;
    body.job = job;
    body.has_enforce_index = body.enforce_index = body.has_job_modify_index = 1;
    body.job_modify_index = now->job_modify_index;
    body.scaling = &w->event;
    body.scaling_group = (char *)(uintptr_t)w->group;
    command.body_case = PB__COMMAND__BODY_JOB_REGISTER;
    command.job_register = &body;
    gateway_apply(w->context->gateway, &command, on_outcome, w);
}

static void on_job_to_scale(void *owner, const struct response *r)
{
    struct scale_write *w = owner;
    struct call_context *c = w->context;
    const Pb__Job *job = object_job((const Pb__Object *)r->body);
    size_t at = 0;
    if (r->code == PB__REPLY__CODE__NOT_FOUND) {
        answer_text(c->x, 404, "job \"%s\" not found", c->id);
        return;
    }
    if (r->code != PB__REPLY__CODE__OK || job == NULL) {
        answer_failure(c->x, r);
        return;
    }
    while (at < job->n_task_groups && strcmp(job->task_groups[at]->name, w->group) != 0)
        at++;
    if (at == job->n_task_groups)
        answer_text(c->x, 400, "task group \"%s\" specified for scaling does not exist in job",
                    w->group);
    else if (job->stop)
        answer_text(c->x, 400, "job \"%s\" is stopped: submit it again to run it", c->id);
    else if (is_within(c, job->task_groups[at], w->event.count))
        register_scaled(w, job, at);
}

static void read_for_write(struct scale_write *w)
{
    Pb__Key key = job_key(w->context, PB__TABLE__NAME__JOBS);
    gateway_get(w->context->gateway, false, &key, on_job_to_scale, w);
}

/* ---- the body */

static const char *mistake_of(const struct call_context *c, const json_t *body, const char *group)
{
    const json_t *target = body_member(body, "Target"), *wanted = body_member(body, "Count");
    const char *job = json_string_value(json_object_get(target, "Job"));
    const char *message = json_string_value(body_member(body, "Message"));
    if (job != NULL && *job != '\0' && strcmp(job, c->id) != 0)
        return "job ID in payload did not match URL";
    if (group == NULL || *group == '\0')
        return "missing task group name for scaling action";
    if (wanted != NULL && json_integer_value(wanted) < 0)
        return "scaling action count can't be negative";
    if (wanted != NULL && json_is_true(body_member(body, "Error")))
        return "scaling action should not contain count if error is true";
    if (wanted != NULL && json_integer_value(wanted) > JOB_MOST_COUNT)
        return "scaling action count is too large: at most 1000000";
    if (message != NULL && strlen(message) > MOST_MESSAGE)
        return "scaling action message is too long: at most 1024 bytes";
    return NULL;
}

/* False: answered. */
static bool read_meta(struct call_context *c, const json_t *meta, Pb__ScalingEvent *out)
{
    char *text = meta != NULL ? json_dumps(meta, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    bool ok = text == NULL || (json_is_object(meta) && strlen(text) <= MOST_META);
    if (!ok)
        answer_text(c->x, 400, "scaling action meta must be an object of at most 4096 bytes");
    else if (text != NULL)
        out->meta_json = arena_strdup(exchange_arena(c->x), text);
    free(text);
    return ok;
}

static bool read_write(struct call_context *c, const json_t *body, struct scale_write *w)
{
    struct arena *a = exchange_arena(c->x);
    const json_t *wanted = body_member(body, "Count");
    const char *group = json_string_value(json_object_get(body_member(body, "Target"), "Group"));
    const char *message = json_string_value(body_member(body, "Message"));
    if (wanted != NULL && !json_is_integer(wanted)) {
        answer_text(c->x, 400,
                    "json: cannot unmarshal %s into Go struct field ScalingRequest.Count of type "
                    "int64",
                    body_kind(wanted));
        return false;
    }
    const char *mistake = mistake_of(c, body, group);
    if (mistake != NULL) {
        answer_text(c->x, 400, "%s", mistake);
        return false;
    }
    w->group = arena_strdup(a, group);
    w->event.message = arena_strdup(a, message == NULL ? "" : message);
    w->event.has_error = 1;
    w->event.error = json_is_true(body_member(body, "Error"));
    w->event.has_count = wanted != NULL;
    w->event.count = json_integer_value(wanted);
    return read_meta(c, body_member(body, "Meta"), &w->event);
}

void job_scale_put(struct call_context *c)
{
    struct scale_write *w = arena_alloc(exchange_arena(c->x), sizeof *w);
    json_t *body = body_object(c, 400);
    if (body == NULL)
        return;
    *w = (struct scale_write){.context = c};
    pb__scaling_event__init(&w->event);
    if (read_write(c, body, w)) {
        exchange_drop_body(c->x);
        c->gateway->counted.writes++;
        if (w->event.has_count)
            read_for_write(w);
        else
            send_note(w, &w->event);
    }
    json_decref(body);
}
