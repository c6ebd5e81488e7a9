/* Node pools, in Nomad's words. "default" is where nodes and jobs are that name none, "all" stands
 * for every node; both are there before anybody sets one, and cannot be changed. */
#include "apply_internal.h"
#include <stdio.h>

#define MOST_DESCRIPTION 256

static bool pool_is_builtin(const char *name)
{
    return strcmp(name, "all") == 0 || strcmp(name, "default") == 0;
}

static const char *algorithm_of(const Pb__NodePool *p)
{
    const char *name =
        p->scheduler_config != NULL ? p->scheduler_config->scheduler_algorithm : NULL;
    return name != NULL ? name : "";
}

static const char *pool_mistake(const Pb__NodePool *p, const char *name)
{
    const char *algorithm = algorithm_of(p);
    if (!space_name_is_valid(name, "-_"))
        return "the name must match regex ^[a-zA-Z0-9-_]{1,128}$";
    if (p->description != NULL && strlen(p->description) > MOST_DESCRIPTION)
        return "description longer than 256";
    if (algorithm[0] != '\0' && strcmp(algorithm, "binpack") != 0 &&
        strcmp(algorithm, "spread") != 0)
        return "the scheduler algorithm must be \"binpack\" or \"spread\"";
    return NULL;
}

void apply_node_pool_set(struct view *v, const Pb__NodePoolSet *cmd, Pb__Outcome *out)
{
    static const Pb__NodePool nothing = PB__NODE_POOL__INIT;
    const Pb__NodePool *p = cmd->pool != NULL ? cmd->pool : &nothing;
    const char *name = p->name != NULL ? p->name : "", *mistake = pool_mistake(p, name);
    if (mistake != NULL)
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "invalid node pool \"%.150s\": %s", name,
               mistake);
    else if (pool_is_builtin(name))
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "modifying node pool \"%s\" is not allowed",
               name);
    else
        state_put_node_pool(v, arena_copy(state_command_arena(v), p, sizeof *p));
}

static bool has_nodes(struct view *v, const char *pool)
{
    struct scan s;
    struct arena *scratch = arena_new(WIRE_MAX_UNPACKED);
    bool found = false;
    scan_open(&s, v, PB__TABLE__NAME__NODES, NULL, NULL, NULL);
    while (!found && scan_next(&s)) {
        arena_reset(scratch);
        const Pb__Node *n =
            WIRE_UNPACK(scratch, Pb__Node, pb__node, s.record.message.data, s.record.message.len);
        found = n != NULL && n->node_pool != NULL && strcmp(n->node_pool, pool) == 0;
    }
    scan_close(&s);
    arena_free(scratch);
    return found;
}

void apply_node_pool_delete(struct view *v, const Pb__NodePoolDelete *cmd, Pb__Outcome *out)
{
    const char *name = cmd->name != NULL ? cmd->name : "";
    if (pool_is_builtin(name))
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "deleting node pool \"%s\" is not allowed",
               name);
    else if (!state_has_node_pool(v, name))
        refuse(v, out, PB__OUTCOME__CODE__NOT_FOUND, "node pool \"%.150s\" not found", name);
    else if (has_nodes(v, name))
        refuse(v, out, PB__OUTCOME__CODE__STALE, "node pool \"%s\" has nodes", name);
    else if (has_live_jobs(v, NULL, name))
        refuse(v, out, PB__OUTCOME__CODE__STALE, "node pool \"%s\" has non-terminal jobs", name);
    else
        state_delete_node_pool(v, name);
}

void pool_make(struct view *v, const char *name)
{
    Pb__NodePool pool = PB__NODE_POOL__INIT;
    if (name == NULL || name[0] == '\0' || state_has_node_pool(v, name))
        return;
    pool.name = text(name);
    state_put_node_pool(v, &pool);
}

bool node_joins_pool(struct view *v, const Pb__Node *n, Pb__Outcome *out)
{
    const char *name = n->node_pool;
    if (name == NULL || name[0] == '\0')
        return true;
    if (strcmp(name, "all") == 0 || !space_name_is_valid(name, "-_")) {
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "a node cannot be in node pool \"%.150s\"",
               name);
        return false;
    }
    pool_make(v, name);
    return true;
}
