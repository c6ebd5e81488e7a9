/* Commands about the cluster itself. */
#include "apply_internal.h"

#define NS_PER_MS 1000000ll

void autopilot_defaults(Pb__Autopilot *a)
{
    pb__autopilot__init(a);
    a->has_last_contact_threshold_ns = a->has_server_stabilization_time_ns = true;
    a->has_cleanup_dead_servers = a->has_max_trailing_logs = true;
    a->last_contact_threshold_ns = 200 * NS_PER_MS;
    a->server_stabilization_time_ns = 10000 * NS_PER_MS;
    a->cleanup_dead_servers = true;
    a->max_trailing_logs = 250;
}

void apply_autopilot_set(struct view *v, const Pb__AutopilotSet *cmd, Pb__Outcome *out)
{
    Pb__Cluster *c = state_cluster(v, state_command_arena(v));
    uint64_t index = state_command_index(v),
             at = c->autopilot != NULL ? c->autopilot->modify_index : 0;
    if (cmd->autopilot == NULL) {
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "no configuration");
        return;
    }
    if (cmd->check_index && cmd->modify_index != at) {
        refuse(v, out, PB__OUTCOME__CODE__STALE, "autopilot's configuration is at %llu",
               (unsigned long long)at);
        return;
    }
    Pb__Autopilot next = *cmd->autopilot;
    next.has_create_index = next.has_modify_index = true;
    next.create_index = at != 0 ? c->autopilot->create_index : index;
    next.modify_index = index;
    c->autopilot = &next;
    state_put_cluster(v, c);
}

void scheduler_defaults(Pb__SchedulerConfig *s, struct arena *a)
{
    pb__scheduler_config__init(s);
    s->scheduler_algorithm = arena_strdup(a, "binpack");
    s->has_memory_oversubscription_enabled = true;
    s->preemption_config = arena_alloc(a, sizeof *s->preemption_config);
    pb__preemption_config__init(s->preemption_config);
    s->preemption_config->has_system_scheduler_enabled = true;
    s->preemption_config->system_scheduler_enabled = true;
}

void apply_scheduler_set(struct view *v, const Pb__SchedulerSet *cmd, Pb__Outcome *out)
{
    Pb__Cluster *c = state_cluster(v, state_command_arena(v));
    uint64_t index = state_command_index(v),
             at = c->scheduler != NULL ? c->scheduler->modify_index : 0;
    if (cmd->config == NULL) {
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "no configuration");
        return;
    }
    if (cmd->check_index && cmd->modify_index != at) {
        refuse(v, out, PB__OUTCOME__CODE__STALE, "the scheduler's configuration is at %llu",
               (unsigned long long)at);
        return;
    }
    Pb__SchedulerConfig next = *cmd->config;
    next.has_create_index = next.has_modify_index = true;
    next.create_index = at != 0 ? c->scheduler->create_index : index;
    next.modify_index = index;
    c->scheduler = &next;
    state_put_cluster(v, c);
}

/* Where raft_id is or belongs. */
static size_t server_slot(const Pb__Cluster *c, uint64_t raft_id)
{
    size_t i = 0;
    while (i < c->n_servers && c->servers[i]->raft_id < raft_id)
        i++;
    return i;
}

static void server_put(struct view *v, Pb__Cluster *c, Pb__Server *s)
{
    size_t at = server_slot(c, s->raft_id);
    bool known = at < c->n_servers && c->servers[at]->raft_id == s->raft_id;
    Pb__Server **servers = arena_array(state_command_arena(v), Pb__Server *, c->n_servers + 1);
    for (size_t i = 0; i < at; i++)
        servers[i] = c->servers[i];
    servers[at] = s;
    for (size_t i = at + (known ? 1 : 0); i < c->n_servers; i++)
        servers[i + (known ? 0 : 1)] = c->servers[i];
    c->servers = servers;
    c->n_servers += known ? 0 : 1;
}

static void server_forget(Pb__Cluster *c, uint64_t raft_id)
{
    size_t at = server_slot(c, raft_id);
    if (at == c->n_servers || c->servers[at]->raft_id != raft_id)
        return;
    c->n_servers--;
    memmove(c->servers + at, c->servers + at + 1, (c->n_servers - at) * sizeof(Pb__Server *));
}

void apply_server_set(struct view *v, const Pb__ServerSet *cmd, Pb__Outcome *out)
{
    Pb__Cluster *c = state_cluster(v, state_command_arena(v));
    if (cmd->server != NULL && (cmd->server->raft_id == 0 || c->n_servers >= MOST_SERVERS)) {
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "a server without an id, or too many");
        return;
    }
    if (cmd->forget != 0)
        server_forget(c, cmd->forget);
    if (cmd->server != NULL)
        server_put(v, c, cmd->server);
    state_put_cluster(v, c);
}

/* Only gathers; at the end the replica, which owns the files, changes states. */
void apply_restore_part(struct view *v, const Pb__RestorePart *cmd, Pb__Outcome *out)
{
    struct bytes before;
    if (cmd->offset == 0)
        state_incoming_clear(v);
    if (cmd->end)
        return;
    if (cmd->offset != 0 && !state_incoming_at(v, cmd->offset - RESTORE_PART_BYTES, &before)) {
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "a part of a restore out of order");
        return;
    }
    if (cmd->data.len == 0 || cmd->data.len > RESTORE_PART_BYTES) {
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "a part of a restore has 1 byte to %u bytes",
               RESTORE_PART_BYTES);
        return;
    }
    state_incoming_put(v, cmd->offset, cmd->data.data, cmd->data.len);
}
