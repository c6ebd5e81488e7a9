/* What operators and their tools say of a deployment. */
#include "answer.h"
#include "body.h"
#include "nouns.h"
#include "objects.h"
#include "wire/json.h"
#include "wire/wire.h"
#include "write.h"
#include <string.h>

#define MOST_IDS    20000u
#define MOST_GROUPS 1000u

/* ---- answers */

static json_t *outcome_json(const Pb__Outcome *o)
{
    bool has_eval = o->eval_id.len == ID_SIZE;
    return json_pack("{sI,sI,so,sI,so}", "DeploymentModifyIndex",
                     (json_int_t)o->deployment_modify_index, "EvalCreateIndex",
                     (json_int_t)(has_eval ? o->index : 0), "EvalID", json_id_of(o->eval_id),
                     "Index", (json_int_t)o->index, "RevertedJobVersion",
                     o->reverted ? json_integer((json_int_t)o->job_version) : json_null());
}

static void on_outcome(void *owner, const struct response *r)
{
    struct call_context *c = owner;
    const Pb__Outcome *o = write_applied(c, r, 500);
    if (o != NULL)
        write_answer(c, o->index, outcome_json(o));
}

/* ---- what all of them begin with */

/* The deployment of the path, and the body; false: answered. *body, which may be NULL where it is
 * not needed, is the caller's. */
static bool begin(struct call_context *c, bool needs_body, json_t **body, ProtobufCBinaryData *out)
{
    size_t len;
    uint8_t id[ID_SIZE];
    const char *problem = id_problem(c->id);
    exchange_body(c->x, &len);
    *body = NULL;
    if ((needs_body || len > 0) && (*body = body_object(c, 400)) == NULL)
        return false;
    const char *named = json_string_value(body_member(*body, "DeploymentID"));
    if (needs_body && (named == NULL || *named == '\0'))
        answer_text(c->x, 400, "DeploymentID must be specified");
    else if (named != NULL && *named != '\0' && strcmp(named, c->id) != 0)
        answer_text(c->x, 400, "Deployment ID does not match");
    else if (problem != NULL)
        answer_text(c->x, 500, "deployment lookup failed: %s", problem);
    else {
        must(id_parse(c->id, id));
        *out = wire_id(exchange_arena(c->x), id);
        return true;
    }
    json_decref(*body);
    *body = NULL;
    return false;
}

static void wrong_member(struct call_context *c, const json_t *v, const char *field,
                         const char *go_type)
{
    answer_text(c->x, 400, "json: cannot unmarshal %s into Go struct field %s of type %s",
                body_kind(v), field, go_type);
}

/* ---- promotion */

static bool read_groups(struct call_context *c, const json_t *list, Pb__DeploymentPromote *out)
{
    struct arena *a = exchange_arena(c->x);
    size_t count = json_array_size(list);
    if (list != NULL && (!json_is_array(list) || count > MOST_GROUPS)) {
        wrong_member(c, list, "DeploymentPromoteRequest.Groups", "[]string");
        return false;
    }
    out->groups = arena_array(a, char *, count + 1);
    for (size_t i = 0; i < count; i++) {
        const json_t *group = json_array_get(list, i);
        if (!json_is_string(group)) {
            wrong_member(c, group, "DeploymentPromoteRequest.Groups", "string");
            return false;
        }
        out->groups[out->n_groups++] = arena_strdup(a, json_string_value(group));
    }
    return true;
}

void deployment_promote_put(struct call_context *c)
{
    Pb__DeploymentPromote promote = PB__DEPLOYMENT_PROMOTE__INIT;
    Pb__Command command = PB__COMMAND__INIT;
    json_t *body;
    if (!begin(c, true, &body, &promote.id))
        return;
    promote.has_id = promote.has_all = 1;
    promote.all = json_is_true(body_member(body, "All"));
    if (read_groups(c, body_member(body, "Groups"), &promote)) {
        command.body_case = PB__COMMAND__BODY_DEPLOYMENT_PROMOTE;
        command.deployment_promote = &promote;
        write_command(c, &command, on_outcome);
    }
    json_decref(body);
}

/* ---- pause and resume, failure */

void deployment_pause_put(struct call_context *c)
{
    Pb__DeploymentPause pause = PB__DEPLOYMENT_PAUSE__INIT;
    Pb__Command command = PB__COMMAND__INIT;
    json_t *body;
    if (!begin(c, true, &body, &pause.id))
        return;
    const json_t *wish = body_member(body, "Pause");
    if (wish != NULL && !json_is_boolean(wish)) {
        wrong_member(c, wish, "DeploymentPauseRequest.Pause", "bool");
    } else {
        pause.has_id = pause.has_pause = 1;
        pause.pause = json_is_true(wish);
        command.body_case = PB__COMMAND__BODY_DEPLOYMENT_PAUSE;
        command.deployment_pause = &pause;
        write_command(c, &command, on_outcome);
    }
    json_decref(body);
}

void deployment_fail_put(struct call_context *c)
{
    Pb__DeploymentFail fail = PB__DEPLOYMENT_FAIL__INIT;
    Pb__Command command = PB__COMMAND__INIT;
    json_t *body;
    if (!begin(c, false, &body, &fail.id))
        return;
    json_decref(body);
    fail.has_id = 1;
    command.body_case = PB__COMMAND__BODY_DEPLOYMENT_FAIL;
    command.deployment_fail = &fail;
    write_command(c, &command, on_outcome);
}

/* ---- unblocking: only deployments of several regions are ever blocked, and there are none */

static void on_blocked(void *owner, const struct response *r)
{
    struct call_context *c = owner;
    const Pb__Deployment *d = object_deployment((const Pb__Object *)r->body);
    if (r->code == PB__REPLY__CODE__NOT_FOUND) {
        answer_text(c->x, 500, "deployment not found");
        return;
    }
    if (r->code != PB__REPLY__CODE__OK || d == NULL) {
        answer_failure(c->x, r);
        return;
    }
    bool ended = d->status == PB__DEPLOYMENT__STATUS__FAILED ||
                 d->status == PB__DEPLOYMENT__STATUS__SUCCESSFUL ||
                 d->status == PB__DEPLOYMENT__STATUS__CANCELLED;
    answer_text(c->x, 500, "%s",
                ended ? "can't unblock terminal deployment"
                      : "can't unblock a deployment that is not blocked");
}

void deployment_unblock_put(struct call_context *c)
{
    Pb__Key key = PB__KEY__INIT;
    json_t *body;
    if (!begin(c, false, &body, &key.id))
        return;
    json_decref(body);
    key.has_table = key.has_id = 1;
    key.table = PB__TABLE__NAME__DEPLOYMENTS;
    gateway_get(c->gateway, false, &key, on_blocked, c);
}

/* ---- health by hand */

static bool read_ids(struct call_context *c, const json_t *list, const char *field,
                     ProtobufCBinaryData **out, size_t *count)
{
    struct arena *a = exchange_arena(c->x);
    uint8_t id[ID_SIZE];
    if (list != NULL && !json_is_array(list)) {
        wrong_member(c, list, field, "[]string");
        return false;
    }
    if (json_array_size(list) > MOST_IDS) {
        answer_text(c->x, 400, "%s has more than %u ids", field, MOST_IDS);
        return false;
    }
    *out = arena_array(a, ProtobufCBinaryData, json_array_size(list) + 1);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text == NULL || id_problem(text) != NULL) {
            answer_text(c->x, 500, "alloc lookup failed: %s",
                        text == NULL ? "an id must be text" : id_problem(text));
            return false;
        }
        must(id_parse(text, id));
        (*out)[(*count)++] = wire_id(a, id);
    }
    return true;
}

void deployment_health_put(struct call_context *c)
{
    Pb__AllocHealth health = PB__ALLOC_HEALTH__INIT;
    Pb__Command command = PB__COMMAND__INIT;
    json_t *body;
    if (!begin(c, true, &body, &health.deployment_id))
        return;
    health.has_deployment_id = 1;
    if (read_ids(c, body_member(body, "HealthyAllocationIDs"),
                 "DeploymentAllocHealthRequest.HealthyAllocationIDs", &health.healthy,
                 &health.n_healthy) &&
        read_ids(c, body_member(body, "UnhealthyAllocationIDs"),
                 "DeploymentAllocHealthRequest.UnhealthyAllocationIDs", &health.unhealthy,
                 &health.n_unhealthy)) {
        command.body_case = PB__COMMAND__BODY_ALLOC_HEALTH;
        command.alloc_health = &health;
        write_command(c, &command, on_outcome);
    }
    json_decref(body);
}
