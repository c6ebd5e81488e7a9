#include "submission.h"
#include "answer.h"
#include "base/id.h"
#include "body.h"
#include "forward.h"
#include "jobfile/scaling.h"
#include "wire/json.h"
#include "wire/wire.h"
#include <string.h>

#define MOST_WHAT_IF 100
#define JOB_MEMORY   (24u << 20) /* of the arena, for a job as read; filling in takes more */

/* ---- the body */

/* False: answered 400. */
static bool wrong_member(struct exchange *x, const json_t *v, const char *type, const char *name,
                         const char *go_type)
{
    answer_text(x, 400, "json: cannot unmarshal %s into Go struct field %s.%s of type %s",
                body_kind(v), type, name, go_type);
    return false;
}

/* [{"NodeID": "...", "Add": 10}, {"NodeID": "...", "Remove": true}] */
static bool read_what_if(struct exchange *x, const json_t *list, struct submission *out)
{
    struct arena *a = exchange_arena(x);
    if (list != NULL && (!json_is_array(list) || json_array_size(list) > MOST_WHAT_IF)) {
        answer_text(x, 400, "WhatIf must be a list of at most %d changes", MOST_WHAT_IF);
        return false;
    }
    out->what_if = arena_array(a, Pb__WhatIf *, json_array_size(list) + 1);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i), *add = body_member(one, "Add");
        const char *node = json_string_value(body_member(one, "NodeID"));
        Pb__WhatIf *w = arena_array(a, Pb__WhatIf, 1);
        pb__what_if__init(w);
        uint8_t id[ID_SIZE];
        w->has_remove = w->remove = json_is_true(body_member(one, "Remove"));
        w->has_add = json_is_integer(add) && json_integer_value(add) > 0 &&
                     json_integer_value(add) <= UINT32_MAX;
        w->add = w->has_add ? (uint32_t)json_integer_value(add) : 0;
        if (node == NULL || !id_parse(node, id) || w->has_add == w->remove) {
            answer_text(x, 400,
                        "WhatIf[%zu] needs a NodeID (a whole id), and either Add (a number above "
                        "0) or Remove (true)",
                        i);
            return false;
        }
        w->has_node_id = 1;
        w->node_id = wire_id(a, id);
        out->what_if[out->what_if_count++] = w;
    }
    return true;
}

static bool read_flags(struct exchange *x, const json_t *body, const char *type,
                       struct submission *out)
{
    const json_t *enforce = body_member(body, "EnforceIndex"),
                 *preserve = body_member(body, "PreserveCounts");
    const json_t *index = body_member(body, "JobModifyIndex"),
                 *priority = body_member(body, "EvalPriority");
    if (enforce != NULL && !json_is_boolean(enforce))
        return wrong_member(x, enforce, type, "EnforceIndex", "bool");
    if (preserve != NULL && !json_is_boolean(preserve))
        return wrong_member(x, preserve, type, "PreserveCounts", "bool");
    if (index != NULL && (!json_is_integer(index) || json_integer_value(index) < 0))
        return wrong_member(x, index, type, "JobModifyIndex", "uint64");
    if (!read_what_if(x, body_member(body, "WhatIf"), out))
        return false;
    out->diff = json_is_true(body_member(body, "Diff"));
    out->where = json_is_true(body_member(body, "Where"));
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
                    body_kind(body), type);
        return false;
    }
    const json_t *tree = body_member(body, "Job");
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

bool submission_read(struct call_context *c, const char *type, struct submission *out)
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
void submission_errors(struct strbuf *out, const struct job_problems *p)
{
    if (p->count == 0)
        return;
    strbuf_printf(out, p->count == 1 ? "%zu error occurred:\n" : "%zu errors occurred:\n",
                  p->count);
    for (size_t i = 0; i < p->count; i++)
        strbuf_printf(out, "\t* %s\n", p->texts[i]);
    strbuf_putc(out, '\n');
}

void submission_warnings(struct strbuf *out, const struct job_problems *p)
{
    if (p->warning_count == 0)
        return;
    strbuf_printf(out, "%zu warning(s):\n", p->warning_count);
    for (size_t i = 0; i < p->warning_count; i++)
        strbuf_printf(out, "\n* %s", p->warnings[i]);
}

void submission_canonicalize(const struct gateway *g, struct arena *a, Pb__Job *job)
{
    if (job->region == NULL || job->region[0] == '\0')
        job->region = arena_strdup(a, g->region);
    job_canonicalize(a, job);
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

bool submission_check(struct call_context *c, Pb__Job *job, const char **warnings)
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
    submission_canonicalize(g, a, job);
    job_validate(a, job, &problems);
    struct strbuf text = STRBUF_INIT;
    if (job_scaling_mistake(job) != NULL) {
        answer_text(c->x, 400, "%s", job_scaling_mistake(job));
        return false;
    }
    if (problems.count > 0) {
        submission_errors(&text, &problems);
        exchange_reply(c->x, 500, TEXT_PLAIN, &text);
        c->gateway->counted.refused++;
        return false;
    }
    if (wants_vault(job)) {
        answer_text(c->x, 500, "Vault not enabled and Vault policies requested");
        return false;
    }
    submission_warnings(&text, &problems);
    *warnings = arena_strdup(a, strbuf_text(&text));
    strbuf_free(&text);
    return true;
}
