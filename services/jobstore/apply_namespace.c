/* Namespaces, in Nomad's words. "default" is there before anybody sets it, and cannot go. */
#include "apply_internal.h"
#include <ctype.h>
#include <stdio.h>

#define MOST_DESCRIPTION 256

bool space_name_is_valid(const char *name, const char *others)
{
    size_t len = 0;
    for (; name[len] != '\0'; len++)
        if (!isascii((unsigned char)name[len]) ||
            (!isalnum((unsigned char)name[len]) && strchr(others, name[len]) == NULL))
            return false;
    return len > 0 && len <= STATE_MAX_NAMESPACE;
}

static bool namespace_is_storable(struct view *v, const Pb__Namespace *n, Pb__Outcome *out)
{
    const char *name = n != NULL && n->name != NULL ? n->name : "";
    bool named = space_name_is_valid(name, "-");
    bool described =
        n == NULL || n->description == NULL || strlen(n->description) <= MOST_DESCRIPTION;
    if (!named || !described) {
        char mistake[260] = "";
        if (!named)
            snprintf(mistake, sizeof mistake,
                     "\t* invalid name \"%.150s\". Must match regex ^[a-zA-Z0-9-]{1,128}$\n", name);
        refuse(v, out, PB__OUTCOME__CODE__INVALID,
               "Invalid namespace \"%.150s\": %d error%s occurred:\n%s%s\n", name,
               !named + !described, !named && !described ? "s" : "", mistake,
               described ? "" : "\t* description longer than 256\n");
        return false;
    }
    if (n->quota == NULL || n->quota[0] == '\0')
        return true;
    refuse(v, out, PB__OUTCOME__CODE__INVALID,
           "namespace \"%s\" using non-existent quota \"%.150s\"", name, n->quota);
    return false;
}

void apply_namespace_set(struct view *v, const Pb__NamespaceSet *cmd, Pb__Outcome *out)
{
    if (namespace_is_storable(v, cmd->namespace_, out))
        state_put_namespace(
            v, arena_copy(state_command_arena(v), cmd->namespace_, sizeof *cmd->namespace_));
}

bool has_live_jobs(struct view *v, const char *ns, const char *pool)
{
    struct scan s;
    struct arena *scratch = arena_new(WIRE_MAX_UNPACKED);
    bool found = false;
    scan_open(&s, v, PB__TABLE__NAME__JOBS, ns, "", NULL);
    while (!found && scan_next(&s)) {
        arena_reset(scratch);
        const Pb__Job *job =
            WIRE_UNPACK(scratch, Pb__Job, pb__job, s.record.message.data, s.record.message.len);
        found = job != NULL && (job->status == NULL || strcmp(job->status, "dead") != 0) &&
                (pool == NULL || (job->node_pool != NULL && strcmp(job->node_pool, pool) == 0));
    }
    scan_close(&s);
    arena_free(scratch);
    return found;
}

void apply_namespace_delete(struct view *v, const Pb__NamespaceDelete *cmd, Pb__Outcome *out)
{
    const char *name = cmd->name != NULL ? cmd->name : "";
    if (strcmp(name, "default") == 0)
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "can not delete default namespace");
    else if (state_namespace(v, state_command_arena(v), name) == NULL)
        return; /* whoever asks wants it gone */
    else if (has_live_jobs(v, name, NULL))
        refuse(v, out, PB__OUTCOME__CODE__STALE, "namespace \"%s\" has non-terminal jobs", name);
    else
        state_delete_namespace(v, name);
}
