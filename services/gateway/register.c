/* Writes of jobs: registration, its check without effect, and deregistration. */
#include "answer.h"
#include "forward.h"
#include "command.pb-c.h"
#include "jobfile/jobfile.h"
#include "nouns.h"
#include "wire/json.h"
#include "wire/wire.h"
#include <string.h>
#include <strings.h>

#define JOB_MEMORY (24u << 20) /* of the arena, for a job as read; filling in takes more */

/* A job as it came, with what stands beside it. */
struct submission {
    Pb__Job *job;
    bool enforce_index, preserve_counts;
    uint64_t job_modify_index;
    uint32_t eval_priority;
};

/* ---- the body */

static json_t *member(const json_t *object, const char *name)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key,
                        value) if (strcasecmp(key, name) == 0 && !json_is_null(value)) return value;
    return NULL;
}

static const char *kind_name(const json_t *v)
{
    return json_is_array(v)     ? "array"
           : json_is_object(v)  ? "object"
           : json_is_string(v)  ? "string"
           : json_is_boolean(v) ? "bool"
                                : "number";
}

/* False: answered 400. */
static bool wrong_member(struct exchange *x, const json_t *v, const char *type, const char *name,
                         const char *go_type)
{
    answer_text(x, 400, "json: cannot unmarshal %s into Go struct field %s.%s of type %s",
                kind_name(v), type, name, go_type);
    return false;
}

static bool read_flags(struct exchange *x, const json_t *body, const char *type,
                       struct submission *out)
{
    const json_t *enforce = member(body, "EnforceIndex"),
                 *preserve = member(body, "PreserveCounts");
    const json_t *index = member(body, "JobModifyIndex"), *priority = member(body, "EvalPriority");
    if (enforce != NULL && !json_is_boolean(enforce))
        return wrong_member(x, enforce, type, "EnforceIndex", "bool");
    if (preserve != NULL && !json_is_boolean(preserve))
        return wrong_member(x, preserve, type, "PreserveCounts", "bool");
    if (index != NULL && (!json_is_integer(index) || json_integer_value(index) < 0))
        return wrong_member(x, index, type, "JobModifyIndex", "uint64");
    out->enforce_index = json_is_true(enforce);
    out->preserve_counts = json_is_true(preserve);
    out->job_modify_index = (uint64_t)json_integer_value(index);
    if (json_is_integer(priority) && json_integer_value(priority) > 0 &&
        json_integer_value(priority) <= 100)
        out->eval_priority = (uint32_t)json_integer_value(priority);
    return true;
}

/* The body's tree into *out; false: answered. */
static bool read_tree(struct call_context *c, const json_t *body, const char *type,
                      struct submission *out)
{
    struct reason why = {{0}};
    ProtobufCMessage *job = NULL;
    if (!json_is_object(body)) {
        answer_text(c->x, 400, "json: cannot unmarshal %s into Go value of type api.%s",
                    kind_name(body), type);
        return false;
    }
    const json_t *tree = member(body, "Job");
    if (tree == NULL) {
        answer_text(c->x, 400, "Job must be specified");
        return false;
    }
    if (!read_flags(c->x, body, type, out))
        return false;
    enum err e = wire_from_json(exchange_arena(c->x), &pb__job__descriptor, tree, "Job", JOB_MEMORY,
                                &job, &why);
    if (e != OK) {
        answer_text(c->x, e == ERR_NO_SPACE ? 413 : 400, "%s", why.text);
        return false;
    }
    out->job = (Pb__Job *)job;
    return true;
}

static bool read_body(struct call_context *c, const char *type, struct submission *out)
{
    size_t len;
    const char *text = exchange_body(c->x, &len);
    struct reason why = {{0}};
    if (len == 0) {
        answer_text(c->x, 400, "Request body is empty");
        return false;
    }
    json_t *body = json_text_parse(text, len, &why);
    if (body == NULL) {
        answer_text(c->x, 400, "%s", why.text);
        return false;
    }
    bool ok = read_tree(c, body, type, out);
    json_decref(body);
    return ok;
}

/* ---- what is wrong with it */

/* As Go's multierror prints them. */
static void put_errors(struct strbuf *out, const struct job_problems *p)
{
    if (p->count == 0)
        return;
    strbuf_printf(out, p->count == 1 ? "%zu error occurred:\n" : "%zu errors occurred:\n",
                  p->count);
    for (size_t i = 0; i < p->count; i++)
        strbuf_printf(out, "\t* %s\n", p->texts[i]);
    strbuf_putc(out, '\n');
}

static void put_warnings(struct strbuf *out, const struct job_problems *p)
{
    if (p->warning_count == 0)
        return;
    strbuf_printf(out, "%zu warning(s):\n", p->warning_count);
    for (size_t i = 0; i < p->warning_count; i++)
        strbuf_printf(out, "\n* %s", p->warnings[i]);
}

static json_t *buffer_json(struct strbuf *text)
{
    json_t *value = json_text(strbuf_text(text));
    strbuf_free(text);
    return value;
}

static void canonicalize(const struct gateway *g, struct arena *a, Pb__Job *job)
{
    if (job->region == NULL || job->region[0] == '\0')
        job->region = arena_strdup(a, g->region);
    job_canonicalize(a, job);
}

void job_validate_put(struct call_context *c)
{
    struct submission s = {0};
    struct job_problems problems;
    struct strbuf errors = STRBUF_INIT, warnings = STRBUF_INIT;
    if (!read_body(c, "JobValidateRequest", &s))
        return;
    canonicalize(c->gateway, exchange_arena(c->x), s.job);
    job_validate(exchange_arena(c->x), s.job, &problems);
    put_errors(&errors, &problems);
    put_warnings(&warnings, &problems);
    json_t *list = problems.count == 0 ? json_null() : json_array();
    for (size_t i = 0; i < problems.count; i++)
        json_array_append_new(list, json_text(problems.texts[i]));
    answer_json(c->x,
                json_pack("{sb,so,so,so}", "DriverConfigValidated", 1, "Error",
                          buffer_json(&errors), "ValidationErrors", list, "Warnings",
                          buffer_json(&warnings)),
                c->params.pretty);
}

/* ---- writing */

struct write {
    struct call_context *context;
    const char *warnings;
    bool is_delete;
};

static json_t *outcome_json(const struct write *w, const Pb__Outcome *o)
{
    bool has_eval = o->eval_id.len == 16;
    json_t *tree =
        json_pack("{sI,so,sI,sI,sb,si}", "EvalCreateIndex", (json_int_t)(has_eval ? o->index : 0),
                  "EvalID", json_id_of(o->eval_id), "Index", (json_int_t)o->index, "JobModifyIndex",
                  (json_int_t)o->job_modify_index, "KnownLeader", 0, "LastContact", 0);
    if (w->is_delete) {
        json_put(tree, "VolumeEvalID", json_text(""));
        json_put(tree, "VolumeEvalIndex", json_integer(0));
    } else {
        json_put(tree, "Warnings", json_text(w->warnings));
    }
    return tree;
}

static void on_outcome(void *owner, const struct response *r)
{
    const struct write *w = owner;
    struct exchange *x = w->context->x;
    const Pb__Outcome *o = (const Pb__Outcome *)r->body;
    if (r->code != PB__REPLY__CODE__OK || o == NULL) {
        answer_failure(x, r);
    } else if (o->code != PB__OUTCOME__CODE__APPLIED) {
        w->context->gateway->counted.refused++;
        answer_text(x, 500, "%s", o->reason == NULL ? "refused" : o->reason);
    } else {
        answer_index(x, o->index);
        answer_json(x, outcome_json(w, o), w->context->params.pretty);
    }
}

static void write_command(struct call_context *c, const Pb__Command *command, const char *warnings,
                          bool is_delete)
{
    struct write *w = arena_alloc(exchange_arena(c->x), sizeof(*w));
    *w = (struct write){.context = c, .warnings = warnings, .is_delete = is_delete};
    exchange_drop_body(c->x);
    c->gateway->counted.writes++;
    gateway_apply(c->gateway, command, on_outcome, w);
}

/* Tokens of a Vault that is not there: a task that wants one would run without. */
static bool wants_vault(const Pb__Job *job)
{
    for (size_t i = 0; i < job->n_task_groups; i++)
        for (size_t k = 0; k < job->task_groups[i]->n_tasks; k++)
            if (job->task_groups[i]->tasks[k]->vault_json != NULL)
                return true;
    return false;
}

/* Whether it may be registered here; false: answered. */
static bool check(struct call_context *c, Pb__Job *job, const char **warnings)
{
    struct arena *a = exchange_arena(c->x);
    const struct gateway *g = c->gateway;
    struct job_problems problems;
    bool region_asked = c->params.region[0] != '\0';
    if (!region_asked && job->region != NULL && job->region[0] != '\0' &&
        strcmp(job->region, g->region) != 0) {
        if (exchange_is_relayed(c->x))
            answer_text(c->x, 500, "No path to region");
        else
            forward_to_region(g->forward, c->x, job->region, 0);
        return false;
    }
    canonicalize(g, a, job);
    job_validate(a, job, &problems);
    struct strbuf text = STRBUF_INIT;
    if (problems.count > 0) {
        put_errors(&text, &problems);
        exchange_reply(c->x, 500, TEXT_PLAIN, &text);
        c->gateway->counted.refused++;
        return false;
    }
    if (job->namespace_ != NULL && strcmp(job->namespace_, "default") != 0) {
        answer_text(c->x, 500, "job \"%s\" is in nonexistent namespace \"%s\"", job->id,
                    job->namespace_);
        return false;
    }
    if (wants_vault(job)) {
        answer_text(c->x, 500, "Vault not enabled and Vault policies requested");
        return false;
    }
    put_warnings(&text, &problems);
    *warnings = arena_strdup(a, strbuf_text(&text));
    strbuf_free(&text);
    return true;
}

static void put(struct call_context *c, const char *id)
{
    struct submission s = {0};
    const char *warnings = "";
    if (!read_body(c, "JobRegisterRequest", &s))
        return;
    if (s.job->id == NULL) {
        answer_text(c->x, 400, "Job ID hasn't been provided");
        return;
    }
    if (id != NULL && strcmp(id, s.job->id) != 0) {
        answer_text(c->x, 400, "Job ID does not match name");
        return;
    }
    if (!check(c, s.job, &warnings))
        return;
    Pb__JobRegister body = PB__JOB_REGISTER__INIT;
    body.job = s.job;
    body.has_enforce_index = s.enforce_index;
    body.enforce_index = s.enforce_index;
    body.has_job_modify_index = s.enforce_index;
    body.job_modify_index = s.job_modify_index;
    body.has_preserve_counts = s.preserve_counts;
    body.preserve_counts = s.preserve_counts;
    body.has_eval_priority = s.eval_priority > 0;
    body.eval_priority = s.eval_priority;
    Pb__Command command = PB__COMMAND__INIT;
    command.body_case = PB__COMMAND__BODY_JOB_REGISTER;
    command.job_register = &body;
    write_command(c, &command, warnings, false);
}

void jobs_put(struct call_context *c)
{
    put(c, NULL);
}

void job_put(struct call_context *c)
{
    put(c, c->id);
}

void job_delete(struct call_context *c)
{
    bool purge = false;
    if (!route_bool(c, "purge", &purge))
        return;
    Pb__JobDeregister body = PB__JOB_DEREGISTER__INIT;
    body.namespace_ = (char *)(uintptr_t)c->params.namespace;
    body.job_id = (char *)(uintptr_t)c->id;
    body.has_purge = 1;
    body.purge = purge;
    Pb__Command command = PB__COMMAND__INIT;
    command.body_case = PB__COMMAND__BODY_JOB_DEREGISTER;
    command.job_deregister = &body;
    write_command(c, &command, "", true);
}
