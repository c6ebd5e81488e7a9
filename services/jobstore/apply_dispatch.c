/* Children of parameterized jobs: each is made by a dispatch, and evaluated at once or, where only
 * so many may be at work at once, when its turn comes. */
#include "apply_dispatch.h"
#include "apply_internal.h"
#include "base/strbuf.h"
#include "wire/template.h"
#include <stdio.h>

#define SECOND_NS INT64_C(1000000000)

enum {
    MOST_PAYLOAD = 16 * 1024,
    MOST_TOKEN = 256,
    MOST_AT_ONCE = 256, /* turns given by one command; the next child to end gives more */
};

/* ---- what may be dispatched */

static bool is_listed(const char *key, char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], key) == 0)
            return true;
    return false;
}

static bool has_key(const Pb__JobDispatch *cmd, const char *key)
{
    for (size_t i = 0; i < cmd->n_meta; i++)
        if (cmd->meta[i]->key != NULL && strcmp(cmd->meta[i]->key, key) == 0)
            return true;
    return false;
}

/* "[a b]", as Go prints a list. Empty: there is none. */
static void list_key(struct strbuf *s, const char *key)
{
    strbuf_printf(s, "%s%.100s", s->len == 0 ? "" : " ", key);
}

static bool meta_is_right(struct view *v, const Pb__ParameterizedJob *p, const Pb__JobDispatch *cmd,
                          Pb__Outcome *out)
{
    struct strbuf unknown = STRBUF_INIT, missing = STRBUF_INIT;
    for (size_t i = 0; i < cmd->n_meta; i++) {
        const char *key = cmd->meta[i]->key == NULL ? "" : cmd->meta[i]->key;
        if (!is_listed(key, p->meta_required, p->n_meta_required) &&
            !is_listed(key, p->meta_optional, p->n_meta_optional))
            list_key(&unknown, key);
    }
    for (size_t i = 0; i < p->n_meta_required; i++)
        if (!has_key(cmd, p->meta_required[i]))
            list_key(&missing, p->meta_required[i]);
    if (unknown.len > 0)
        refuse(v, out, PB__OUTCOME__CODE__INVALID,
               "Dispatch request included unpermitted metadata keys: [%s]", strbuf_text(&unknown));
    else if (missing.len > 0)
        refuse(v, out, PB__OUTCOME__CODE__INVALID,
               "Dispatch did not provide required meta keys: [%s]", strbuf_text(&missing));
    strbuf_free(&unknown);
    strbuf_free(&missing);
    return out->reason == NULL;
}

static bool payload_is_right(struct view *v, const Pb__ParameterizedJob *p,
                             const Pb__JobDispatch *cmd, Pb__Outcome *out)
{
    const char *rule = p->payload == NULL ? "" : p->payload;
    if (cmd->payload.len > 0 && strcmp(rule, "forbidden") == 0)
        refuse(v, out, PB__OUTCOME__CODE__INVALID,
               "Payload provided but forbidden by parameterized job");
    else if (cmd->payload.len == 0 && strcmp(rule, "required") == 0)
        refuse(v, out, PB__OUTCOME__CODE__INVALID,
               "Payload is not provided but required by parameterized job");
    else if (cmd->payload.len > MOST_PAYLOAD)
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "Payload exceeds maximum size; %zu > %d",
               cmd->payload.len, MOST_PAYLOAD);
    return out->reason == NULL;
}

static bool names_are_right(struct view *v, const Pb__JobDispatch *cmd, Pb__Outcome *out)
{
    if (cmd->idempotency_token != NULL && strlen(cmd->idempotency_token) > MOST_TOKEN)
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "The idempotency token is longer than %d bytes",
               MOST_TOKEN);
    else if (cmd->id_prefix != NULL && strpbrk(cmd->id_prefix, " /") != NULL)
        refuse(v, out, PB__OUTCOME__CODE__INVALID,
               "The prefix of the child's id may hold neither space nor \"/\"");
    return out->reason == NULL;
}

/* The job to dispatch from; NULL: refused. */
static Pb__Job *find_parent(struct view *v, const Pb__JobDispatch *cmd, Pb__Outcome *out)
{
    const char *ns = namespace_or_default(cmd->namespace_);
    Pb__Job *job = state_job(v, state_command_arena(v), ns, cmd->job_id);
    if (job == NULL)
        refuse(v, out, PB__OUTCOME__CODE__NOT_FOUND, "parameterized job not found");
    else if (job->parameterized_job == NULL || !job_is_template(job))
        refuse(v, out, PB__OUTCOME__CODE__INVALID,
               "Specified job \"%.100s\" is not a parameterized job", job->id);
    else if (job->stop)
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "Specified job \"%.100s\" is stopped", job->id);
    return out->reason == NULL ? job : NULL;
}

/* ---- the child */

/* The job's own, and over it what was sent along; sorted by key. */
static void merge_meta(struct arena *a, Pb__Job *child, const Pb__JobDispatch *cmd)
{
    Pb__KeyValue **all = arena_array(a, Pb__KeyValue *, child->n_meta + cmd->n_meta + 1);
    size_t n = 0;
    for (size_t i = 0; i < child->n_meta; i++)
        if (!has_key(cmd, child->meta[i]->key))
            all[n++] = child->meta[i];
    for (size_t i = 0; i < cmd->n_meta; i++) {
        size_t at = n++;
        for (; at > 0 && strcmp(all[at - 1]->key, cmd->meta[i]->key) > 0; at--)
            all[at] = all[at - 1];
        all[at] = cmd->meta[i];
    }
    child->meta = all;
    child->n_meta = n;
}

/* A fresh one: "PARENT/dispatch-UNIXSECONDS-8HEX". NULL: it would be too long. */
static char *child_id(struct view *v, const Pb__Job *parent, const char *prefix)
{
    struct arena *a = state_command_arena(v);
    for (;;) {
        char id[STATE_MAX_JOB_ID + 1];
        const uint8_t *fresh = state_fresh_id(v).data + ID_SIZE - 4;
        bool named = prefix != NULL && prefix[0] != '\0';
        int len = snprintf(id, sizeof id, "%s/dispatch-%s%s%lld-%02x%02x%02x%02x", parent->id,
                           named ? prefix : "", named ? "-" : "",
                           (long long)(state_command_time(v) / SECOND_NS), fresh[0], fresh[1],
                           fresh[2], fresh[3]);
        if (len < 0 || (size_t)len >= sizeof id)
            return NULL;
        if (state_job(v, a, parent->namespace_, id) == NULL)
            return arena_strdup(a, id);
    }
}

static Pb__Job *make_child(struct view *v, const Pb__Job *parent, const char *id,
                           const Pb__JobDispatch *cmd)
{
    struct arena *a = state_command_arena(v);
    Pb__Job *child = job_make_child(v, parent, id);
    child->has_dispatched = child->dispatched = true;
    child->has_payload = cmd->payload.len > 0;
    child->payload = cmd->payload;
    child->idempotency_token = cmd->idempotency_token != NULL && cmd->idempotency_token[0] != '\0'
                                   ? cmd->idempotency_token
                                   : NULL;
    merge_meta(a, child, cmd);
    return child;
}

static void evaluate(struct view *v, const Pb__Job *child, Pb__Outcome *out)
{
    Pb__Eval *eval = eval_new(v, child->namespace_, child->id, child, "job-register");
    state_put_eval(v, eval);
    if (out == NULL)
        return;
    out->has_eval_id = true;
    out->eval_id = eval->id;
}

static bool must_wait(struct view *v, const Pb__Job *parent)
{
    uint32_t most = parent->parameterized_job->max_running;
    return most != 0 && (state_queue_length(v, parent->namespace_, parent->id) > 0 ||
                         state_children_at_work(v, parent->namespace_, parent->id) >= most);
}

static void dispatch(struct view *v, const Pb__Job *parent, const char *id,
                     const Pb__JobDispatch *cmd, Pb__Outcome *out)
{
    char why[160];
    Pb__Job *child = make_child(v, parent, id, cmd);
    bool waits = must_wait(v, parent);
    if (waits) {
        snprintf(why, sizeof why, DESCRIBE_QUEUED " (max_running %u)",
                 parent->parameterized_job->max_running);
        child->status_description = arena_strdup(state_command_arena(v), why);
    }
    state_put_job(v, child);
    if (waits)
        state_queue_child(v, child);
    else
        evaluate(v, child, out);
    out->child_id = child->id;
    out->has_job_modify_index = true;
    out->job_modify_index = child->create_index;
}

/* The evaluation that was made for a child, if it is kept still. */
static void tell_known(struct view *v, const Pb__Job *parent, char *id, Pb__Outcome *out)
{
    struct walk w;
    const Pb__Job *child = state_job(v, state_command_arena(v), parent->namespace_, id);
    walk_open(&w, v, PB__TABLE__NAME__EVALS, PB__LIST__BY__JOB, parent->namespace_, id, NULL, NULL);
    const uint8_t *eval = walk_next(&w);
    if (eval != NULL) {
        out->has_eval_id = true;
        out->eval_id = wire_id(state_command_arena(v), eval);
    }
    walk_close(&w);
    out->child_id = id;
    out->has_unchanged = out->unchanged = true;
    out->has_job_modify_index = true;
    out->job_modify_index = child->create_index;
}

void apply_job_dispatch(struct view *v, const Pb__JobDispatch *cmd, Pb__Outcome *out)
{
    Pb__Job *parent = find_parent(v, cmd, out);
    if (parent == NULL || !names_are_right(v, cmd, out))
        return;
    const char *known = cmd->idempotency_token != NULL && cmd->idempotency_token[0] != '\0'
                            ? state_child_of_token(v, state_command_arena(v), parent->namespace_,
                                                   parent->id, cmd->idempotency_token)
                            : NULL;
    if (known != NULL) {
        tell_known(v, parent, text(known), out);
        return;
    }
    if (!payload_is_right(v, parent->parameterized_job, cmd, out) ||
        !meta_is_right(v, parent->parameterized_job, cmd, out))
        return;
    char *id = child_id(v, parent, cmd->id_prefix);
    if (id == NULL)
        refuse(v, out, PB__OUTCOME__CODE__INVALID,
               "The child's id would be longer than %d bytes: the job's own is too long",
               STATE_MAX_JOB_ID);
    else
        dispatch(v, parent, id, cmd, out);
}

void apply_turns(struct view *v)
{
    const char *ns, *id;
    for (int i = 0; i < MOST_AT_ONCE && state_next_turn(v, &ns, &id); i++) {
        const Pb__Job *child = state_job(v, state_command_arena(v), ns, id);
        must(child != NULL || view_failed(v));
        if (child == NULL)
            return;
        evaluate(v, child, NULL);
    }
}
