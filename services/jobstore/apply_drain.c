/* Which nodes take work, and the drains that empty them. */
#include "apply_internal.h"

#define NS_PER_S 1000000000ll

static Pb__Node *find_node(struct view *v, protobuf_c_boolean has, ProtobufCBinaryData id,
                           Pb__Outcome *out)
{
    Pb__Node *n = has_id(has, id) ? state_node(v, state_command_arena(v), id.data) : NULL;
    if (n == NULL)
        refuse(v, out, PB__OUTCOME__CODE__NOT_FOUND, "node not found");
    return n;
}

static bool is_eligible(const Pb__Node *n)
{
    return n->eligibility != PB__NODE__ELIGIBILITY__INELIGIBLE;
}

static void set_eligible(Pb__Node *n, bool eligible)
{
    n->has_eligibility = true;
    n->eligibility = eligible ? PB__NODE__ELIGIBILITY__ELIGIBLE : PB__NODE__ELIGIBILITY__INELIGIBLE;
}

/* From here on it is for people to say whether the node takes work. */
static void forget_who_drained(struct view *v, Pb__Node *n)
{
    if (n->last_drain == NULL || !n->last_drain->by_agent)
        return;
    n->last_drain = arena_copy(state_command_arena(v), n->last_drain, sizeof *n->last_drain);
    n->last_drain->has_by_agent = n->last_drain->by_agent = false;
}

/* The jobs that may have something to do on a node that takes work again. */
static void evaluate_jobs(struct view *v, const Pb__Node *n, Pb__Outcome *out)
{
    struct job_set *jobs = job_set_new(v);
    node_add_jobs(v, n, jobs);
    node_add_system_jobs(v, n, jobs);
    job_set_evaluate(jobs, "node-update", false);
    job_set_report(jobs, out);
    job_set_free(jobs);
}

void apply_node_eligibility(struct view *v, const Pb__NodeEligibilitySet *cmd, Pb__Outcome *out)
{
    Pb__Node *n = find_node(v, cmd->has_node_id, cmd->node_id, out);
    if (n == NULL)
        return;
    if (cmd->eligibility != PB__NODE__ELIGIBILITY__ELIGIBLE &&
        cmd->eligibility != PB__NODE__ELIGIBILITY__INELIGIBLE) {
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "no such eligibility");
        return;
    }
    bool eligible = cmd->eligibility == PB__NODE__ELIGIBILITY__ELIGIBLE;
    if (eligible && n->drain) {
        refuse(v, out, PB__OUTCOME__CODE__INVALID,
               "can not set node's scheduling eligibility to eligible while it is draining");
        return;
    }
    if (eligible == is_eligible(n)) {
        out->has_unchanged = out->unchanged = true;
        return;
    }
    set_eligible(n, eligible);
    forget_who_drained(v, n);
    node_add_event(v, n, "Cluster",
                   eligible ? "Node marked as eligible for scheduling"
                            : "Node marked as ineligible for scheduling");
    state_put_node(v, n);
    if (eligible)
        evaluate_jobs(v, n, out);
}

/* ---- drains */

static Pb__DrainRecord *record_of(struct view *v, const Pb__Node *n)
{
    Pb__DrainRecord *r = arena_alloc(state_command_arena(v), sizeof *r);
    if (n->last_drain != NULL)
        *r = *n->last_drain;
    else
        pb__drain_record__init(r);
    r->has_started_at = r->has_updated_at = true;
    r->updated_at = state_command_time(v) / NS_PER_S * NS_PER_S;
    return r;
}

static void start_drain(struct view *v, Pb__Node *n, const Pb__NodeDrainSet *cmd)
{
    int64_t now = state_command_time(v);
    bool goes_on = n->drain && n->drain_strategy != NULL;
    Pb__DrainStrategy *s = arena_alloc(state_command_arena(v), sizeof *s);
    pb__drain_strategy__init(s);
    s->has_deadline_ns = s->has_ignore_system_jobs = s->has_started_at = true;
    s->deadline_ns = cmd->spec->deadline_ns;
    s->ignore_system_jobs = cmd->spec->ignore_system_jobs;
    s->started_at = goes_on ? n->drain_strategy->started_at : now;
    if (s->deadline_ns > 0) {
        s->has_force_deadline = true;
        s->force_deadline = s->deadline_ns > INT64_MAX - now ? INT64_MAX : now + s->deadline_ns;
    }
    Pb__DrainRecord *r = record_of(v, n);
    r->has_by_agent = r->by_agent = cmd->by_agent && (is_eligible(n) || r->by_agent);
    r->started_at = s->started_at / NS_PER_S * NS_PER_S;
    r->status = text("draining");
    r->n_meta = cmd->n_meta;
    r->meta = cmd->meta;
    n->drain_strategy = s;
    n->last_drain = r;
    n->has_drain = n->drain = true;
    set_eligible(n, false);
    node_add_event(v, n, "Drain",
                   goes_on ? "Node drain strategy updated" : "Node drain strategy set");
}

static void end_drain(struct view *v, Pb__Node *n, const char *status, const char *event)
{
    Pb__DrainRecord *r = record_of(v, n);
    r->status = text(status);
    n->last_drain = r;
    n->drain_strategy = NULL;
    n->drain = false;
    node_add_event(v, n, "Drain", event);
}

/* An agent neither changes the terms of a drain that people began, nor ends it. */
static bool is_for_people(const Pb__Node *n, const Pb__NodeDrainSet *cmd)
{
    bool by_agent = n->last_drain != NULL && n->last_drain->by_agent;
    return !by_agent && (n->drain || cmd->spec == NULL);
}

void apply_node_drain(struct view *v, const Pb__NodeDrainSet *cmd, Pb__Outcome *out)
{
    Pb__Node *n = find_node(v, cmd->has_node_id, cmd->node_id, out);
    if (n == NULL)
        return;
    bool wakes = false;
    if (cmd->by_agent && is_for_people(n, cmd)) {
        out->has_unchanged = out->unchanged = true;
        return;
    }
    if (cmd->spec != NULL) {
        start_drain(v, n, cmd);
    } else {
        wakes = cmd->mark_eligible && !is_eligible(n);
        if (n->drain)
            end_drain(v, n, "canceled", "Node drain strategy unset");
        if (wakes) {
            set_eligible(n, true);
            node_add_event(v, n, "Cluster", "Node marked as eligible for scheduling");
        }
        forget_who_drained(v, n);
    }
    state_put_node(v, n);
    if (wakes)
        evaluate_jobs(v, n, out);
}

static void migrate(struct view *v, ProtobufCBinaryData id, bool stops, struct job_set *jobs)
{
    struct arena *a = state_command_arena(v);
    Pb__Alloc *old = has_id(true, id) ? state_alloc(v, a, id.data) : NULL;
    if (old == NULL || !alloc_is_wanted(old) || (stops ? old->stop_wanted : old->migrate))
        return;
    Pb__Node *n = state_node(v, a, old->node_id.data);
    if (n == NULL || !n->drain)
        return; /* the drain was called off meanwhile */
    Pb__Alloc *next = arena_copy(a, old, sizeof *next);
    next->has_migrate = next->migrate = true;
    if (stops)
        next->has_stop_wanted = next->stop_wanted = true;
    state_change_alloc(v, old, next, false);
    job_set_add(jobs, next->namespace_, next->job_id, n);
}

void apply_drain_step(struct view *v, const Pb__DrainStep *cmd, Pb__Outcome *out)
{
    struct job_set *jobs = job_set_new(v);
    for (size_t i = 0; i < cmd->n_migrate; i++)
        migrate(v, cmd->migrate[i], false, jobs);
    for (size_t i = 0; i < cmd->n_stop; i++)
        migrate(v, cmd->stop[i], true, jobs);
    job_set_evaluate(jobs, "node-drain", false);
    job_set_free(jobs);
    for (size_t i = 0; i < cmd->n_drained; i++) {
        const Pb__NodeDrained *d = cmd->drained[i];
        Pb__Node *n = has_id(d->has_node_id, d->node_id)
                          ? state_node(v, state_command_arena(v), d->node_id.data)
                          : NULL;
        if (n == NULL || !n->drain || n->modify_index != d->modify_index)
            continue; /* another drain than the one that is done */
        end_drain(v, n, "complete", "Node drain complete");
        state_put_node(v, n);
    }
}
