/* Node pools: each node is in one, each job goes to the nodes of one, or to all. */
#include "answer.h"
#include "body.h"
#include "named.h"
#include "nouns.h"
#include "objects.h"
#include "wire/json.h"
#include <string.h>

#define MEMORY (1u << 20) /* of the arena, for one as it is sent */

/* ---- reads */

static const char *name_of(const Pb__Object *o)
{
    return object_node_pool(o) != NULL ? object_node_pool(o)->name : NULL;
}

static uint64_t modify_index_of(const Pb__Object *o)
{
    return object_node_pool(o)->modify_index;
}

/* Of the region's configuration of the scheduler a pool may change the algorithm only. */
static json_t *json_of(const Pb__Object *o)
{
    const Pb__NodePool *p = object_node_pool(o);
    const Pb__SchedulerConfig *config = p->scheduler_config;
    json_t *tree = wire_to_json(&p->base);
    json_object_del(tree, "SchedulerConfig");
    json_put(tree, "SchedulerConfiguration",
             config == NULL
                 ? json_null()
                 : json_pack("{so}", "SchedulerAlgorithm", json_text(config->scheduler_algorithm)));
    return tree;
}

static const Pb__Object *builtin(struct arena *a, size_t i)
{
    static const struct {
        const char *name, *description;
    } all[] = {{"all", "Node pool with all nodes in the cluster."},
               {"default", "Default node pool."}};
    if (i >= COUNT_OF(all))
        return NULL;
    Pb__Object *o = arena_array(a, Pb__Object, 1);
    Pb__NodePool *p = arena_array(a, Pb__NodePool, 1);
    pb__object__init(o);
    pb__node_pool__init(p);
    o->value_case = PB__OBJECT__VALUE_NODE_POOL;
    o->node_pool = p;
    p->name = arena_strdup(a, all[i].name);
    p->description = arena_strdup(a, all[i].description);
    p->has_create_index = p->has_modify_index = 1;
    p->create_index = p->modify_index = 1;
    return o;
}

static const struct named kind = {
    PB__TABLE__NAME__NODE_POOLS, "node pool not found", name_of, modify_index_of, json_of, builtin};

void node_pools_list(struct call_context *c)
{
    named_list(c, &kind);
}

/* False: the path names none; answered. */
static bool has_name(struct call_context *c)
{
    if (c->id[0] == '\0')
        answer_text(c->x, 400, "missing node pool name");
    return c->id[0] != '\0';
}

void node_pool_get(struct call_context *c)
{
    if (has_name(c))
        named_get(c, &kind);
}

/* ---- writes */

/* False: answered. */
static bool read_config(struct call_context *c, const json_t *body, Pb__NodePool *p)
{
    struct arena *a = exchange_arena(c->x);
    const json_t *config = body_member(body, "SchedulerConfiguration"),
                 *algorithm = body_member(config, "SchedulerAlgorithm");
    p->scheduler_config = NULL;
    if (config == NULL)
        return true;
    if (!json_is_object(config) || (algorithm != NULL && !json_is_string(algorithm))) {
        answer_text(c->x, 400, "SchedulerConfiguration must be an object with SchedulerAlgorithm");
        return false;
    }
    if (body_member(config, "MemoryOversubscriptionEnabled") != NULL) {
        answer_text(c->x, 400,
                    "SchedulerConfiguration.MemoryOversubscriptionEnabled is of the whole region "
                    "in this version of Norn: a node pool cannot set it");
        return false;
    }
    if (algorithm == NULL)
        return true;
    p->scheduler_config = arena_array(a, Pb__SchedulerConfig, 1);
    pb__scheduler_config__init(p->scheduler_config);
    p->scheduler_config->scheduler_algorithm = arena_strdup(a, json_string_value(algorithm));
    return true;
}

static Pb__NodePool *read_pool(struct call_context *c)
{
    struct reason why = {{0}};
    ProtobufCMessage *m = NULL;
    json_t *body = body_object(c, 400);
    if (body == NULL)
        return NULL;
    enum err e = wire_from_json(exchange_arena(c->x), &pb__node_pool__descriptor, body, "NodePool",
                                MEMORY, &m, &why);
    if (e != OK)
        answer_text(c->x, 400, "%s", why.text);
    else if (!read_config(c, body, (Pb__NodePool *)m))
        m = NULL;
    json_decref(body);
    return e == OK ? (Pb__NodePool *)m : NULL;
}

/* At /v1/node/pools and at /v1/node/pool/NAME: then the body must not name another. */
void node_pool_put(struct call_context *c)
{
    Pb__NodePool *p = read_pool(c);
    if (p == NULL)
        return;
    if (c->id[0] != '\0' && (p->name == NULL || strcmp(p->name, c->id) != 0)) {
        answer_text(c->x, 400, "node pool name does not match request path");
        return;
    }
    Pb__NodePoolSet set = PB__NODE_POOL_SET__INIT;
    set.pool = p;
    Pb__Command command = PB__COMMAND__INIT;
    command.body_case = PB__COMMAND__BODY_NODE_POOL_SET;
    command.node_pool_set = &set;
    named_write(c, &command);
}

void node_pool_delete(struct call_context *c)
{
    if (!has_name(c))
        return;
    Pb__NodePoolDelete gone = PB__NODE_POOL_DELETE__INIT;
    gone.name = (char *)(uintptr_t)c->id;
    Pb__Command command = PB__COMMAND__INIT;
    command.body_case = PB__COMMAND__BODY_NODE_POOL_DELETE;
    command.node_pool_delete = &gone;
    named_write(c, &command);
}
