/* Writes of a job's versions: going back to one, and marking one as stable. */
#include "answer.h"
#include "body.h"
#include "nouns.h"
#include "register.h"
#include "wire/json.h"
#include "write.h"
#include <string.h>

/* The body of either; NULL: answered. The caller's. */
static json_t *read_body(struct call_context *c)
{
    json_t *body = body_object(c, 400);
    const char *named = json_string_value(body_member(body, "JobID"));
    if (body == NULL)
        return NULL;
    if (named != NULL && strcmp(named, c->id) == 0)
        return body;
    answer_text(c->x, 400,
                named == NULL || *named == '\0' ? "JobID must be specified"
                                                : "Job ID does not match");
    json_decref(body);
    return NULL;
}

/* A version that may be left out; false: answered. */
static bool read_version(struct call_context *c, const json_t *body, const char *type,
                         const char *name, uint64_t *out)
{
    const json_t *v = body_member(body, name);
    *out = 0;
    if (v != NULL && (!json_is_integer(v) || json_integer_value(v) < 0)) {
        answer_text(c->x, 400,
                    "json: cannot unmarshal %s into Go struct field %s.%s of type uint64",
                    body_kind(v), type, name);
        return false;
    }
    *out = (uint64_t)json_integer_value(v);
    return true;
}

void job_revert(struct call_context *c)
{
    Pb__JobRevert revert = PB__JOB_REVERT__INIT;
    Pb__Command command = PB__COMMAND__INIT;
    json_t *body = read_body(c);
    if (body == NULL)
        return;
    if (read_version(c, body, "JobRevertRequest", "JobVersion", &revert.version) &&
        read_version(c, body, "JobRevertRequest", "EnforcePriorVersion", &revert.prior_version)) {
        revert.namespace_ = (char *)(uintptr_t)c->params.namespace;
        revert.job_id = (char *)(uintptr_t)c->id;
        revert.has_version = 1;
        revert.has_enforce_prior = revert.has_prior_version = revert.enforce_prior =
            body_member(body, "EnforcePriorVersion") != NULL;
        command.body_case = PB__COMMAND__BODY_JOB_REVERT;
        command.job_revert = &revert;
        job_write(c, &command, "");
    }
    json_decref(body);
}

static void on_stable(void *owner, const struct response *r)
{
    struct call_context *c = owner;
    const Pb__Outcome *o = write_applied(c, r, 500);
    if (o != NULL)
        write_answer(c, o->index, json_pack("{sI}", "Index", (json_int_t)o->index));
}

void job_stable(struct call_context *c)
{
    Pb__JobStable stable = PB__JOB_STABLE__INIT;
    Pb__Command command = PB__COMMAND__INIT;
    json_t *body = read_body(c);
    if (body == NULL)
        return;
    if (read_version(c, body, "JobStabilityRequest", "JobVersion", &stable.version)) {
        stable.namespace_ = (char *)(uintptr_t)c->params.namespace;
        stable.job_id = (char *)(uintptr_t)c->id;
        stable.has_version = stable.has_stable = 1;
        stable.stable = json_is_true(body_member(body, "Stable"));
        command.body_case = PB__COMMAND__BODY_JOB_STABLE;
        command.job_stable = &stable;
        exchange_drop_body(c->x);
        c->gateway->counted.writes++;
        gateway_apply(c->gateway, &command, on_stable, c);
    }
    json_decref(body);
}
