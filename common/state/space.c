/* Small nouns with names: namespaces, node pools; and what is kept of a job's scaling. The keys of
 * namespaces and pools are those of jobs in the default namespace. */
#include "state/internal.h"
#include <string.h>

static ProtobufCMessage *named(struct view *v, struct arena *a, unsigned table, const char *name,
                               const ProtobufCMessageDescriptor *type)
{
    struct key k;
    return key_job(&k, NULL, name) ? record_message(v, a, table, key_bytes(&k), type) : NULL;
}

static void put_named(struct view *v, unsigned table, const char *name, const ProtobufCMessage *m)
{
    struct key k;
    must(key_job(&k, NULL, name));
    record_put(v, table, key_bytes(&k), m);
}

static void delete_named(struct view *v, unsigned table, const char *name)
{
    struct key k;
    if (key_job(&k, NULL, name))
        record_del(v, table, key_bytes(&k));
}

Pb__Namespace *state_namespace(struct view *v, struct arena *a, const char *name)
{
    return (Pb__Namespace *)named(v, a, T_NAMESPACES, name, &pb__namespace__descriptor);
}

static bool has_record(struct view *v, unsigned table, const char *name)
{
    struct key k;
    struct record r;
    return key_job(&k, NULL, name) && record_get(v, table, key_bytes(&k), &r);
}

bool state_has_namespace(struct view *v, const char *name)
{
    return strcmp(name, "default") == 0 || has_record(v, T_NAMESPACES, name);
}

bool state_has_node_pool(struct view *v, const char *name)
{
    return strcmp(name, "default") == 0 || strcmp(name, "all") == 0 ||
           has_record(v, T_NODE_POOLS, name);
}

void state_put_namespace(struct view *v, Pb__Namespace *n)
{
    const Pb__Namespace *old = state_namespace(v, v->arena, n->name);
    n->has_create_index = n->has_modify_index = true;
    n->create_index = old != NULL                       ? old->create_index
                      : strcmp(n->name, "default") == 0 ? 1 /* it was there before all */
                                                        : v->index;
    n->modify_index = v->index;
    put_named(v, T_NAMESPACES, n->name, &n->base);
}

void state_delete_namespace(struct view *v, const char *name)
{
    delete_named(v, T_NAMESPACES, name);
}

Pb__NodePool *state_node_pool(struct view *v, struct arena *a, const char *name)
{
    return (Pb__NodePool *)named(v, a, T_NODE_POOLS, name, &pb__node_pool__descriptor);
}

void state_put_node_pool(struct view *v, Pb__NodePool *p)
{
    const Pb__NodePool *old = state_node_pool(v, v->arena, p->name);
    p->has_create_index = p->has_modify_index = true;
    p->create_index = old != NULL ? old->create_index : v->index;
    p->modify_index = v->index;
    put_named(v, T_NODE_POOLS, p->name, &p->base);
}

void state_delete_node_pool(struct view *v, const char *name)
{
    delete_named(v, T_NODE_POOLS, name);
}

Pb__ScalingEvents *state_scaling_events(struct view *v, struct arena *a, const char *ns,
                                        const char *job_id)
{
    struct key k;
    return key_job(&k, ns, job_id)
               ? (Pb__ScalingEvents *)record_message(v, a, T_SCALING_EVENTS, key_bytes(&k),
                                                     &pb__scaling_events__descriptor)
               : NULL;
}

void state_put_scaling_events(struct view *v, Pb__ScalingEvents *e)
{
    struct key k;
    must(key_job(&k, e->namespace_, e->job_id));
    e->has_modify_index = true;
    e->modify_index = v->index;
    record_put(v, T_SCALING_EVENTS, key_bytes(&k), &e->base);
}
