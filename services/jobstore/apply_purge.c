/* A node as an operator finds it: looked at again, or forgotten. */
#include "apply_internal.h"

/* NULL: refused, in Nomad's words. */
static Pb__Node *find_node(struct view *v, protobuf_c_boolean has, ProtobufCBinaryData id,
                           Pb__Outcome *out)
{
    Pb__Node *n = has_id(has, id) ? state_node(v, state_command_arena(v), id.data) : NULL;
    if (n == NULL)
        refuse(v, out, PB__OUTCOME__CODE__NOT_FOUND, "node not found");
    return n;
}

/* Each job that has something on it, or that is to run on every node. */
static void evaluate_jobs(struct view *v, const Pb__Node *n, Pb__Outcome *out)
{
    struct job_set *jobs = job_set_new(v);
    node_add_jobs(v, n, jobs);
    node_add_system_jobs(v, n, jobs);
    job_set_evaluate(jobs, "node-update", false);
    job_set_report(jobs, out);
    job_set_free(jobs);
}

void apply_node_evaluate(struct view *v, const Pb__NodeEvaluate *cmd, Pb__Outcome *out)
{
    const Pb__Node *n = find_node(v, cmd->has_node_id, cmd->node_id, out);
    if (n != NULL)
        evaluate_jobs(v, n, out);
}

/* What ran there stays known, and is lost: the evaluations of its jobs find no node. */
void apply_node_purge(struct view *v, const Pb__NodePurge *cmd, Pb__Outcome *out)
{
    Pb__Node *n = find_node(v, cmd->has_node_id, cmd->node_id, out);
    if (n == NULL)
        return;
    state_delete_node(v, n->id.data);
    evaluate_jobs(v, n, out);
}
