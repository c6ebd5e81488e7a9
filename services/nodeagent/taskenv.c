#include "taskenv.h"
#include "base/err.h"
#include "base/id.h"
#include "base/strbuf.h"
#include "cores.h"
#include "devices.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct variable {
    const char *key;
    const char *value;
};

/* Two tables, since node.*, attr.* and meta.* can be written in ${} but are no variables of the
 * process. */
struct taskenv {
    struct arena *arena;
    struct variable *variables, *targets;
    size_t variable_count, variable_room, target_count, target_room;
    size_t *grown; /* bytes that ${...} has added so far */
};

static void put_in(struct arena *a, struct variable **list, size_t *count, size_t *room,
                   const char *key, const char *value)
{
    for (size_t i = 0; i < *count; i++) {
        if (strcmp((*list)[i].key, key) == 0) {
            (*list)[i].value = arena_strdup(a, value);
            return;
        }
    }
    if (*count == *room) {
        size_t wider = *room == 0 ? 64 : *room * 2;
        struct variable *grown = arena_array(a, struct variable, wider);
        if (*count > 0)
            memcpy(grown, *list, *count * sizeof **list);
        *list = grown;
        *room = wider;
    }
    (*list)[*count].key = arena_strdup(a, key);
    (*list)[(*count)++].value = arena_strdup(a, value);
}

static void put(struct taskenv *e, const char *key, const char *value)
{
    put_in(e->arena, &e->variables, &e->variable_count, &e->variable_room, key, value);
}

static void put_target(struct taskenv *e, const char *prefix, const char *key, const char *value)
{
    put_in(e->arena, &e->targets, &e->target_count, &e->target_room,
           arena_printf(e->arena, "%s%s", prefix, key), value == NULL ? "" : value);
}

/* What a shell could not name becomes an underscore. */
static char *clean_key(struct arena *a, const char *key)
{
    char *k = arena_strdup(a, key);
    for (char *p = k; *p != '\0'; p++)
        if (!isalnum((unsigned char)*p) && *p != '_' && *p != '.')
            *p = '_';
    if (isdigit((unsigned char)k[0]))
        k[0] = '_';
    return k;
}

/* Both families of names: ours, and the one job files use. */
static void put_ours(struct taskenv *e, const char *key, const char *value)
{
    if (value == NULL)
        return;
    const char *clean = clean_key(e->arena, key);
    put(e, arena_printf(e->arena, "NOMAD_%s", clean), value);
    put(e, arena_printf(e->arena, "NORN_%s", clean), value);
}

static void put_number(struct taskenv *e, const char *key, unsigned long number)
{
    put_ours(e, key, arena_printf(e->arena, "%lu", number));
}

/* Tokens of the agent's own environment that are no business of a task. */
static bool is_withheld(const char *variable)
{
    static const char *const names[] = {
        "CONSUL_TOKEN=",      "CONSUL_HTTP_TOKEN=",
        "VAULT_TOKEN=",       "NOMAD_LICENSE=",
        "AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=",
        "AWS_SESSION_TOKEN=", "GOOGLE_APPLICATION_CREDENTIALS=",
    };
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return true;
    return strncmp(variable, "NOMAD_", 6) == 0 || strncmp(variable, "NORN_", 5) == 0;
}

static void put_host(struct taskenv *e, char *const *host)
{
    for (; host != NULL && *host != NULL; host++) {
        const char *equals = strchr(*host, '=');
        if (equals == NULL || equals == *host || is_withheld(*host))
            continue;
        put(e, arena_printf(e->arena, "%.*s", (int)(equals - *host), *host), equals + 1);
    }
}

static void put_identity(struct taskenv *e, const struct taskenv_input *in)
{
    char id[ID_TEXT_SIZE];
    id_format(in->alloc->id.data, id);
    put_ours(e, "ALLOC_ID", id);
    put_ours(e, "SHORT_ALLOC_ID", arena_printf(e->arena, "%.8s", id));
    put_ours(
        e, "ALLOC_NAME",
        arena_printf(e->arena, "%s.%s[%u]", in->job->id, in->group->name, in->alloc->name_index));
    put_number(e, "ALLOC_INDEX", in->alloc->name_index);
    put_ours(e, "TASK_NAME", in->task->name);
    put_ours(e, "GROUP_NAME", in->group->name);
    put_ours(e, "JOB_ID", in->job->id);
    put_ours(e, "JOB_NAME", in->job->name != NULL ? in->job->name : in->job->id);
    if (in->job->parent_id != NULL && in->job->parent_id[0] != '\0')
        put_ours(e, "JOB_PARENT_ID", in->job->parent_id);
    const char *namespace = in->job->namespace_;
    put_ours(e, "NAMESPACE", namespace != NULL && *namespace != '\0' ? namespace : "default");
    put_ours(e, "DC", in->node->datacenter);
    put_ours(e, "REGION", in->region);
}

static void put_places(struct taskenv *e, const struct taskenv_input *in)
{
    put_ours(e, "ALLOC_DIR", in->alloc_dir);
    put_ours(e, "TASK_DIR", in->task_dir);
    put_ours(e, "SECRETS_DIR", in->secrets_dir);
    if (in->task->resources == NULL)
        return;
    if (in->task->resources->cores > 0 && in->node->cores > 0 && in->node->total != NULL)
        put_number(e, "CPU_LIMIT",
                   (unsigned long)in->node->total->cpu * in->task->resources->cores /
                       in->node->cores);
    else if (in->task->resources->cpu != 0)
        put_number(e, "CPU_LIMIT", in->task->resources->cpu);
    if (in->task->resources->memory_mb != 0)
        put_number(e, "MEMORY_LIMIT", in->task->resources->memory_mb);
    uint32_t most = grants_memory_max_mb(in->alloc->grants, in->alloc->n_grants, in->task->name);
    if (most != 0)
        put_number(e, "MEMORY_MAX_LIMIT", most);
}

/* ---- what it was given: cores, and instances of devices */

static void put_cores(struct taskenv *e, const Pb__TaskGrant *g)
{
    struct core_set own = {{0}};
    for (size_t i = 0; i < g->n_cores; i++)
        core_set_add(&own, g->cores[i]);
    if (g->n_cores > 0)
        put_ours(e, "CPU_CORES", core_set_text(&own, e->arena));
}

/* Behind what it was given already: several devices may be of one type. */
static const char *gathered(struct taskenv *e, const char *key, const char *ids)
{
    const char *target = arena_printf(e->arena, "device.%s", key);
    const char *before = taskenv_find(e, target);
    const char *all = before == NULL ? ids : arena_printf(e->arena, "%s,%s", before, ids);
    put_target(e, "device.", key, all);
    return all;
}

static void put_device(struct taskenv *e, const Pb__Node *node, const Pb__GrantedDevice *g)
{
    char *ids = arena_strdup(e->arena, "");
    char *key = arena_printf(e->arena, "DEVICE_%s", g->type == NULL ? "" : g->type);
    const Pb__NodeDevice *d = devices_find(node, g);
    const char *own = d != NULL ? device_attribute_of(d, "env") : NULL;
    for (size_t i = 0; i < g->n_device_ids; i++)
        ids = arena_printf(e->arena, "%s%s%s", ids, i > 0 ? "," : "", g->device_ids[i]);
    for (char *p = key; *p != '\0'; p++)
        *p = *p == '.' ? '_' : (char)toupper((unsigned char)*p);
    put_ours(e, key, gathered(e, key, ids));
    if (own != NULL && own[0] != '\0')
        put(e, clean_key(e->arena, own), gathered(e, own, ids));
}

static void put_grants(struct taskenv *e, const struct taskenv_input *in)
{
    for (size_t i = 0; i < in->alloc->n_grants; i++) {
        const Pb__TaskGrant *g = in->alloc->grants[i];
        if (g->task == NULL || strcmp(g->task, in->task->name) != 0)
            continue;
        put_cores(e, g);
        for (size_t k = 0; k < g->n_devices; k++)
            if (g->devices[k]->n_device_ids > 0)
                put_device(e, in->node, g->devices[k]);
    }
}

static char *address_of(struct arena *a, const char *ip, const char *port)
{
    bool v6 = strchr(ip, ':') != NULL;
    return arena_printf(a, "%s%s%s:%s", v6 ? "[" : "", ip, v6 ? "]" : "", port);
}

/* In a network of its own a task listens on the port inside, and has an address there; the node's
 * leads to it. */
static void put_port(struct taskenv *e, const struct taskenv_input *in, const Pb__Port *p)
{
    struct arena *a = e->arena;
    const Pb__NetworkStatus *own = in->network != NULL ? in->network->status : NULL;
    const char *ip = in->ip, *own_ip = own != NULL && own->address != NULL ? own->address : ip;
    char *port = arena_printf(a, "%u", p->value);
    char *inside = p->to > 0 ? arena_printf(a, "%d", p->to) : port;
    put_ours(e, arena_printf(a, "IP_%s", p->label), ip);
    put_ours(e, arena_printf(a, "PORT_%s", p->label), in->network != NULL ? inside : port);
    put_ours(e, arena_printf(a, "ADDR_%s", p->label), address_of(a, ip, port));
    put_ours(e, arena_printf(a, "HOST_IP_%s", p->label), ip);
    put_ours(e, arena_printf(a, "HOST_PORT_%s", p->label), port);
    put_ours(e, arena_printf(a, "HOST_ADDR_%s", p->label), address_of(a, ip, port));
    put_ours(e, arena_printf(a, "ALLOC_PORT_%s", p->label), inside);
    put_ours(e, arena_printf(a, "ALLOC_IP_%s", p->label), own_ip);
    put_ours(e, arena_printf(a, "ALLOC_ADDR_%s", p->label), address_of(a, own_ip, inside));
    if (own != NULL)
        put_ours(e, arena_printf(a, "ALLOC_INTERFACE_%s", p->label), own->interface_name);
}

/* As they are written and in capitals. The task's win over the group's, the group's over the job's.
 */
static void put_meta(struct taskenv *e, Pb__KeyValue **meta, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *key = arena_printf(e->arena, "META_%s", meta[i]->key);
        char *value = taskenv_expand(e, e->arena, meta[i]->value == NULL ? "" : meta[i]->value);
        put_ours(e, key, value);
        for (char *p = key; *p != '\0'; p++)
            *p = (char)toupper((unsigned char)*p);
        put_ours(e, key, value);
    }
}

static void put_targets(struct taskenv *e, const struct taskenv_input *in)
{
    const Pb__Node *n = in->node;
    char id[ID_TEXT_SIZE] = "";
    if (n->id.len == ID_SIZE)
        id_format(n->id.data, id);
    put_target(e, "node.", "unique.id", id);
    put_target(e, "node.", "unique.name", n->name);
    put_target(e, "node.", "datacenter", n->datacenter);
    put_target(e, "node.", "region", in->region);
    put_target(e, "node.", "class", n->node_class);
    put_target(e, "node.", "pool", n->node_pool);
    for (size_t i = 0; i < n->n_attributes; i++)
        put_target(e, "attr.", n->attributes[i]->key, n->attributes[i]->value);
    for (size_t i = 0; i < n->n_meta; i++)
        put_target(e, "meta.", n->meta[i]->key, n->meta[i]->value);
}

struct taskenv *taskenv_new(struct arena *a, const struct taskenv_input *in)
{
    struct taskenv *e = arena_alloc(a, sizeof *e);
    e->arena = a;
    e->grown = arena_alloc(a, sizeof *e->grown);
    put_targets(e, in);
    put_host(e, in->host);
    put_identity(e, in);
    put_places(e, in);
    put_grants(e, in);
    for (size_t i = 0; i < in->alloc->n_ports; i++)
        if (in->alloc->ports[i]->label != NULL)
            put_port(e, in, in->alloc->ports[i]);
    put_meta(e, in->job->meta, in->job->n_meta);
    put_meta(e, in->group->meta, in->group->n_meta);
    put_meta(e, in->task->meta, in->task->n_meta);
    /* Expanded before any of them is set: they refer to what we give, not to one another, so that
     * their order never shows. */
    char **values = arena_array(a, char *, in->task->n_env);
    for (size_t i = 0; i < in->task->n_env; i++)
        values[i] =
            taskenv_expand(e, a, in->task->env[i]->value == NULL ? "" : in->task->env[i]->value);
    for (size_t i = 0; i < in->task->n_env; i++)
        if (in->task->env[i]->key[0] != '\0')
            put(e, clean_key(a, in->task->env[i]->key), values[i]);
    return e;
}

static const char *look_up(const struct variable *list, size_t count, const char *name, size_t len)
{
    for (size_t i = 0; i < count; i++)
        if (strncmp(list[i].key, name, len) == 0 && list[i].key[len] == '\0')
            return list[i].value;
    return NULL;
}

const char *taskenv_get(const struct taskenv *e, const char *name)
{
    return look_up(e->variables, e->variable_count, name, strlen(name));
}

const char *taskenv_find(const struct taskenv *e, const char *name)
{
    const char *value = taskenv_get(e, name);
    return value != NULL ? value : look_up(e->targets, e->target_count, name, strlen(name));
}

void taskenv_set(struct taskenv *e, const char *name, const char *value)
{
    put(e, clean_key(e->arena, name), value);
}

/* "${" is at text; *len becomes the length of all up to "}". NULL: nothing we know. */
static const char *reference(const struct taskenv *e, const char *text, size_t *len)
{
    size_t n = 2;
    while (isalnum((unsigned char)text[n]) || (text[n] != '\0' && strchr("_-.", text[n]) != NULL))
        n++;
    const char *name = text + 2;
    size_t name_len = n - 2;
    if (name_len == 3 && strncmp(name, "env", 3) == 0 && strncmp(text + n, "[\"", 2) == 0) {
        const char *end = strstr(text + n, "\"]}");
        if (end == NULL)
            return NULL;
        name = text + n + 2;
        name_len = (size_t)(end - name);
        *len = (size_t)(end - text) + 3;
        return look_up(e->variables, e->variable_count, name, name_len);
    }
    if (text[n] != '}')
        return NULL;
    *len = n + 1;
    const char *value = look_up(e->variables, e->variable_count, name, name_len);
    return value != NULL ? value : look_up(e->targets, e->target_count, name, name_len);
}

bool taskenv_is_overgrown(const struct taskenv *e)
{
    return *e->grown > TASKENV_MAX_GROWTH;
}

char *taskenv_expand(const struct taskenv *e, struct arena *a, const char *text)
{
    struct strbuf out = STRBUF_INIT;
    while (*text != '\0') {
        size_t len = 1;
        const char *value = text[0] == '$' && text[1] == '{' ? reference(e, text, &len) : NULL;
        if (value != NULL && !taskenv_is_overgrown(e)) {
            strbuf_puts(&out, value);
            *e->grown += strlen(value);
        } else {
            len = 1;
            strbuf_putc(&out, *text);
        }
        text += len;
    }
    char *result = arena_strdup(a, strbuf_text(&out));
    strbuf_free(&out);
    return result;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **taskenv_list(const struct taskenv *e, struct arena *a, size_t *count)
{
    char **list = arena_array(a, char *, e->variable_count + 1);
    for (size_t i = 0; i < e->variable_count; i++)
        list[i] = arena_printf(a, "%s=%s", e->variables[i].key, e->variables[i].value);
    qsort(list, e->variable_count, sizeof *list, by_text);
    *count = e->variable_count;
    return list;
}
