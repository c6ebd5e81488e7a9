/* Writes of nodes: whether they take work, and drains. */
#include "answer.h"
#include "base/id.h"
#include "body.h"
#include "nouns.h"
#include "wire/json.h"
#include "wire/wire.h"
#include "write.h"
#include <stdlib.h>
#include <string.h>

#define MOST_META 64 /* pairs that are kept with a drain */

/* The node of the path, and of the body where that names one. False: answered. */
static bool read_node_id(struct call_context *c, const json_t *body, ProtobufCBinaryData *out)
{
    uint8_t id[ID_SIZE];
    const char *named = json_string_value(body_member(body, "NodeID")),
               *problem = id_problem(c->id);
    if (problem != NULL)
        answer_text(c->x, 500, "node lookup failed: %s", problem);
    else if (named != NULL && *named != '\0' && strcmp(named, c->id) != 0)
        answer_text(c->x, 400, "NodeID does not match the node in the path");
    else {
        must(id_parse(c->id, id));
        *out = wire_id(exchange_arena(c->x), id);
        return true;
    }
    return false;
}

static json_t *ids_json(const Pb__Outcome *o)
{
    json_t *list = o->n_eval_ids == 0 ? json_null() : json_array();
    for (size_t i = 0; i < o->n_eval_ids; i++)
        json_array_append_new(list, json_id_of(o->eval_ids[i]));
    return list;
}

static void answer_outcome(struct call_context *c, const struct response *r, bool is_drain)
{
    const Pb__Outcome *o = write_applied(c, r, 500);
    if (o == NULL)
        return;
    json_int_t index = o->unchanged ? 0 : (json_int_t)o->index;
    write_answer(c, (uint64_t)index,
                 json_pack("{sI,so,sI,sI}", "EvalCreateIndex", o->n_eval_ids > 0 ? index : 0,
                           "EvalIDs", ids_json(o), "Index", index, "NodeModifyIndex",
                           is_drain ? index : 0));
}

static void on_eligibility(void *owner, const struct response *r)
{
    answer_outcome(owner, r, false);
}

static void on_drain(void *owner, const struct response *r)
{
    answer_outcome(owner, r, true);
}

void node_eligibility_put(struct call_context *c)
{
    json_t *body = body_object(c, 400);
    if (body == NULL)
        return;
    const char *wish = json_string_value(body_member(body, "Eligibility"));
    bool on = wish != NULL && strcmp(wish, "eligible") == 0;
    Pb__NodeEligibilitySet set = PB__NODE_ELIGIBILITY_SET__INIT;
    if (!on && (wish == NULL || strcmp(wish, "ineligible") != 0)) {
        answer_text(c->x, 500, "invalid scheduling eligibility \"%s\"", wish == NULL ? "" : wish);
    } else if (read_node_id(c, body, &set.node_id)) {
        set.has_node_id = set.has_eligibility = 1;
        set.eligibility = on ? PB__NODE__ELIGIBILITY__ELIGIBLE : PB__NODE__ELIGIBILITY__INELIGIBLE;
        Pb__Command command = PB__COMMAND__INIT;
        command.body_case = PB__COMMAND__BODY_NODE_ELIGIBILITY;
        command.node_eligibility = &set;
        write_command(c, &command, on_eligibility);
    }
    json_decref(body);
}

/* ---- drains */

static bool read_spec(struct call_context *c, const json_t *tree, Pb__DrainSpec *out)
{
    const json_t *deadline = body_member(tree, "Deadline");
    if (!json_is_object(tree)) {
        answer_text(c->x, 400,
                    "json: cannot unmarshal %s into Go struct field "
                    "NodeUpdateDrainRequest.DrainSpec of type api.DrainSpec",
                    body_kind(tree));
        return false;
    }
    if (deadline != NULL && !json_is_integer(deadline)) {
        answer_text(c->x, 400,
                    "json: cannot unmarshal %s into Go struct field DrainSpec.DrainSpec.Deadline "
                    "of type time.Duration",
                    body_kind(deadline));
        return false;
    }
    out->has_deadline_ns = out->has_ignore_system_jobs = 1;
    out->deadline_ns = json_integer_value(deadline);
    out->ignore_system_jobs = json_is_true(body_member(tree, "IgnoreSystemJobs"));
    return true;
}

static int compare_pairs(const void *a, const void *b)
{
    return strcmp((*(Pb__KeyValue *const *)a)->key, (*(Pb__KeyValue *const *)b)->key);
}

static bool read_meta(struct call_context *c, json_t *tree, Pb__NodeDrainSet *out)
{
    struct arena *a = exchange_arena(c->x);
    const char *key;
    json_t *value;
    if (json_object_size(tree) > MOST_META) {
        answer_text(c->x, 400, "Meta has more than %d entries", MOST_META);
        return false;
    }
    out->meta = arena_array(a, Pb__KeyValue *, json_object_size(tree) + 1);
    json_object_foreach(tree, key, value)
    {
        if (!json_is_string(value)) {
            answer_text(c->x, 400, "Meta: the value of \"%s\" must be a string", key);
            return false;
        }
        Pb__KeyValue *kv = arena_alloc(a, sizeof *kv);
        pb__key_value__init(kv);
        kv->key = arena_strdup(a, key);
        kv->value = arena_strdup(a, json_string_value(value));
        out->meta[out->n_meta++] = kv;
    }
    if (out->n_meta > 1)
        qsort(out->meta, out->n_meta, sizeof *out->meta, compare_pairs);
    return true;
}

void node_drain_put(struct call_context *c)
{
    json_t *body = body_object(c, 400);
    if (body == NULL)
        return;
    Pb__NodeDrainSet set = PB__NODE_DRAIN_SET__INIT;
    Pb__DrainSpec spec = PB__DRAIN_SPEC__INIT;
    const json_t *wish = body_member(body, "DrainSpec");
    if (read_node_id(c, body, &set.node_id) && (wish == NULL || read_spec(c, wish, &spec)) &&
        read_meta(c, body_member(body, "Meta"), &set)) {
        set.spec = wish != NULL ? &spec : NULL;
        set.has_node_id = set.has_mark_eligible = 1;
        set.mark_eligible = json_is_true(body_member(body, "MarkEligible"));
        Pb__Command command = PB__COMMAND__INIT;
        command.body_case = PB__COMMAND__BODY_NODE_DRAIN;
        command.node_drain = &set;
        write_command(c, &command, on_drain);
    }
    json_decref(body);
}
