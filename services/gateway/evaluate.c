/* A job is looked at again because somebody asks for it. */
#include "answer.h"
#include "nouns.h"
#include "wire/json.h"
#include "write.h"
#include <string.h>

static void on_evaluated(void *owner, const struct response *r)
{
    struct call_context *c = owner;
    const Pb__Outcome *o = write_applied(c, r, 500);
    if (o != NULL)
        write_answer(c, o->index,
                     json_pack("{sI,so,sI,sI,sb,si,ss}", "EvalCreateIndex", (json_int_t)o->index,
                               "EvalID", json_id_of(o->eval_id), "Index", (json_int_t)o->index,
                               "JobModifyIndex", (json_int_t)o->job_modify_index, "KnownLeader", 0,
                               "LastContact", 0, "Warnings", ""));
}

/* Without a body nothing is forced. False: answered. */
static bool read_force(struct call_context *c, bool *force)
{
    size_t len;
    struct reason why = {{0}};
    const char *text = exchange_body(c->x, &len);
    *force = false;
    if (len == 0)
        return true;
    json_t *body = json_text_parse(text, len, &why);
    const char *id = json_string_value(json_object_get(body, "JobID"));
    if (body == NULL)
        answer_text(c->x, 400, "%s", why.text);
    else if (id == NULL || *id == '\0')
        answer_text(c->x, 400, "Job ID must be specified");
    else if (strcmp(id, c->id) != 0)
        answer_text(c->x, 400, "JobID not same as job name");
    else {
        *force =
            json_is_true(json_object_get(json_object_get(body, "EvalOptions"), "ForceReschedule"));
        json_decref(body);
        return true;
    }
    json_decref(body);
    return false;
}

void job_evaluate(struct call_context *c)
{
    Pb__JobEvaluate evaluate = PB__JOB_EVALUATE__INIT;
    bool force;
    if (!read_force(c, &force))
        return;
    evaluate.namespace_ = (char *)(uintptr_t)c->params.namespace;
    evaluate.job_id = (char *)(uintptr_t)c->id;
    evaluate.has_reschedule = force;
    evaluate.reschedule = force;
    Pb__Command command = PB__COMMAND__INIT;
    command.body_case = PB__COMMAND__BODY_JOB_EVALUATE;
    command.job_evaluate = &evaluate;
    write_command(c, &command, on_evaluated);
}
