/* Writes of jobs: registration, its check without effect, and deregistration. */
#include "answer.h"
#include "nouns.h"
#include "register.h"
#include "submission.h"
#include "wire/json.h"
#include "write.h"
#include <string.h>

static json_t *buffer_json(struct strbuf *text)
{
    json_t *value = json_text(strbuf_text(text));
    strbuf_free(text);
    return value;
}

void job_validate_put(struct call_context *c)
{
    struct submission s = {0};
    struct job_problems problems;
    struct strbuf errors = STRBUF_INIT, warnings = STRBUF_INIT;
    if (!submission_read(c, "JobValidateRequest", &s))
        return;
    submission_canonicalize(c->gateway, exchange_arena(c->x), s.job);
    job_validate(exchange_arena(c->x), s.job, &problems);
    submission_errors(&errors, &problems);
    submission_warnings(&warnings, &problems);
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

/* What the answers to a registration and to its end have in common. */
static json_t *outcome_json(const Pb__Outcome *o)
{
    bool has_eval = o->eval_id.len == 16;
    return json_pack("{sI,so,sI,sI,sb,si}", "EvalCreateIndex",
                     (json_int_t)(has_eval ? o->index : 0), "EvalID", json_id_of(o->eval_id),
                     "Index", (json_int_t)o->index, "JobModifyIndex",
                     (json_int_t)o->job_modify_index, "KnownLeader", 0, "LastContact", 0);
}

static void on_registered(void *owner, const struct response *r)
{
    struct call_context *c = owner;
    const Pb__Outcome *o = write_applied(c, r, 500);
    if (o == NULL)
        return;
    json_t *tree = outcome_json(o);
    json_put(tree, "Warnings", json_text(c->state));
    write_answer(c, o->index, tree);
}

void job_write(struct call_context *c, const Pb__Command *command, const char *warnings)
{
    c->state = (void *)(uintptr_t)warnings;
    write_command(c, command, on_registered);
}

static void on_deregistered(void *owner, const struct response *r)
{
    struct call_context *c = owner;
    const Pb__Outcome *o = write_applied(c, r, 500);
    if (o == NULL)
        return;
    json_t *tree = outcome_json(o);
    json_put(tree, "VolumeEvalID", json_text(""));
    json_put(tree, "VolumeEvalIndex", json_integer(0));
    write_answer(c, o->index, tree);
}

static void put(struct call_context *c, const char *id)
{
    struct submission s = {0};
    const char *warnings = "";
    if (!submission_read(c, "JobRegisterRequest", &s))
        return;
    if (s.job->id == NULL) {
        answer_text(c->x, 400, "Job ID hasn't been provided");
        return;
    }
    if (id != NULL && strcmp(id, s.job->id) != 0) {
        answer_text(c->x, 400, "Job ID does not match name");
        return;
    }
    if (!submission_check(c, s.job, &warnings))
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
    job_write(c, &command, warnings);
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
    write_command(c, &command, on_deregistered);
}
