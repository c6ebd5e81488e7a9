/* Dispatches: children of parameterized jobs. */
#include "answer.h"
#include "body.h"
#include "nouns.h"
#include "wire/json.h"
#include "write.h"
#include <string.h>

/* The payload and the metadata are read by the rules of a job's own: base64 and a map. False:
 * answered. */
static bool read_parts(struct call_context *c, const json_t *body, Pb__JobDispatch *out)
{
    enum { ROOM = 1 << 20 };
    struct reason why = {{0}};
    ProtobufCMessage *m = NULL;
    json_t *payload = body_member(body, "Payload"), *meta = body_member(body, "Meta");
    json_t *parts = json_pack("{sO?,sO?}", "Payload", payload, "Meta", meta);
    enum err e = wire_from_json(exchange_arena(c->x), &pb__job__descriptor, parts,
                                "JobDispatchRequest", ROOM, &m, &why);
    json_decref(parts);
    if (e != OK) {
        answer_text(c->x, e == ERR_NO_SPACE ? 413 : 400, "%s", why.text);
        return false;
    }
    const Pb__Job *job = (const Pb__Job *)m;
    out->has_payload = job->payload.len > 0;
    out->payload = job->payload;
    out->n_meta = job->n_meta;
    out->meta = job->meta;
    return true;
}

/* A member that is text, if it is there; else what the URL says. False: answered. */
static bool read_text(struct call_context *c, const json_t *body, const char *name, const char *arg,
                      char **out)
{
    const json_t *v = body_member(body, name);
    const char *text = v != NULL ? json_string_value(v) : exchange_arg(c->x, arg);
    if (v != NULL && text == NULL) {
        answer_text(c->x, 400,
                    "json: cannot unmarshal %s into Go struct field JobDispatchRequest.%s of type "
                    "string",
                    body_kind(v), name);
        return false;
    }
    *out = text != NULL && text[0] != '\0' ? arena_strdup(exchange_arena(c->x), text) : NULL;
    return true;
}

static bool read_body(struct call_context *c, const json_t *body, Pb__JobDispatch *out)
{
    char *id = NULL;
    if (!read_text(c, body, "JobID", "", &id) ||
        !read_text(c, body, "IdempotencyToken", "idempotency_token", &out->idempotency_token) ||
        !read_text(c, body, "IdPrefixTemplate", "", &out->id_prefix))
        return false;
    if (id != NULL && strcmp(id, c->id) != 0) {
        answer_text(c->x, 400, "Job ID does not match");
        return false;
    }
    return read_parts(c, body, out);
}

static void on_dispatched(void *owner, const struct response *r)
{
    struct call_context *c = owner;
    const Pb__Outcome *o = write_applied(c, r, 500);
    if (o == NULL)
        return;
    bool has_eval = o->eval_id.len == 16;
    json_int_t made = (json_int_t)o->job_modify_index;
    write_answer(c, o->index,
                 json_pack("{so,sI,so,sI,sI}", "DispatchedJobID", json_text(o->child_id),
                           "EvalCreateIndex", has_eval ? made : (json_int_t)0, "EvalID",
                           json_id_of(o->eval_id), "Index", (json_int_t)o->index, "JobCreateIndex",
                           made));
}

void job_dispatch(struct call_context *c)
{
    json_t *body = body_object(c, 400);
    Pb__JobDispatch d = PB__JOB_DISPATCH__INIT;
    bool ok = body != NULL && read_body(c, body, &d);
    json_decref(body);
    if (!ok)
        return;
    d.namespace_ = (char *)(uintptr_t)c->params.namespace;
    d.job_id = (char *)(uintptr_t)c->id;
    Pb__Command command = PB__COMMAND__INIT;
    command.body_case = PB__COMMAND__BODY_JOB_DISPATCH;
    command.job_dispatch = &d;
    write_command(c, &command, on_dispatched);
}
