#include "sched/feasible.h"
#include "base/err.h"
#include "base/glob.h"
#include "sched/rows.h"
#include <stdio.h>
#include <string.h>

/* Nomad's names for them. */
#define MISSING_DRIVERS "missing drivers"
#define MISSING_VOLUMES "missing compatible host volumes"

static bool in_pool(const Pb__Job *job, const char *pool)
{
    const char *wanted = pool_or_default(job->node_pool);
    return strcmp(wanted, "all") == 0 || strcmp(wanted, pool) == 0;
}

static bool in_datacenters(const Pb__Job *job, const char *datacenter)
{
    for (size_t i = 0; i < job->n_datacenters; i++)
        if (glob_matches(job->datacenters[i], datacenter))
            return true;
    return job->n_datacenters == 0;
}

/* A node that tells nothing of the driver's health is asked for its attribute, as in Nomad. */
static bool has_driver(const struct texts *t, const char *driver)
{
    char key[128];
    size_t len = strlen(driver);
    if (len > 64)
        return false;
    memcpy(key, "!driver.", 8);
    memcpy(key + 8, driver, len + 1);
    const char *state = texts_get(t, key);
    if (state != NULL)
        return strcmp(state, "healthy") == 0;
    memcpy(key, "attr.driver.", 12);
    memcpy(key + 12, driver, len + 1);
    const char *attribute = texts_get(t, key);
    return attribute != NULL && (strcmp(attribute, "1") == 0 || strcmp(attribute, "true") == 0);
}

/* Nomad's words for it. NULL: the node has every network that the ports ask for by name. */
static const char *missing_network(const struct texts *t, struct arena *a, Pb__Port *const *ports,
                                   size_t n)
{
    char key[256];
    for (size_t i = 0; i < n; i++) {
        const char *name = ports[i]->host_network;
        if (name == NULL || name[0] == '\0' || strcmp(name, "default") == 0)
            continue;
        int len = snprintf(key, sizeof(key), "!network.%s", name);
        if (len >= (int)sizeof(key) || texts_get(t, key) == NULL)
            return arena_printf(a, "missing host network \"%s\" for port \"%s\"", name,
                                ports[i]->label != NULL ? ports[i]->label : "");
    }
    return NULL;
}

/* As an agent says it can: in Node.networks. */
static const char *missing_mode(const struct texts *t, struct arena *a, const char *mode)
{
    char key[256];
    if (mode == NULL || mode[0] == '\0' || strcmp(mode, "host") == 0)
        return NULL;
    int len = snprintf(key, sizeof(key), "!mode.%s", mode);
    if (len < (int)sizeof(key) && texts_get(t, key) != NULL)
        return NULL;
    return arena_printf(a, "missing network mode \"%s\"", mode);
}

static const char *judge_networks(const struct texts *t, struct arena *a,
                                  const Pb__TaskGroup *group)
{
    const char *wrong = NULL;
    for (size_t i = 0; wrong == NULL && i < group->n_networks; i++) {
        const Pb__Network *n = group->networks[i];
        wrong = missing_mode(t, a, n->mode);
        if (wrong == NULL)
            wrong = missing_network(t, a, n->reserved_ports, n->n_reserved_ports);
        if (wrong == NULL)
            wrong = missing_network(t, a, n->dynamic_ports, n->n_dynamic_ports);
    }
    return wrong;
}

/* One that the node has for reading alone is enough for those who only read. */
static const char *missing_volumes(const struct kind *k, const Pb__TaskGroup *group)
{
    char key[256];
    for (size_t i = 0; i < group->n_volumes; i++) {
        const Pb__VolumeRequest *v = group->volumes[i];
        int len = snprintf(key, sizeof(key), "!volume.%s", v->source != NULL ? v->source : "");
        const char *access = len < (int)sizeof(key) ? texts_get(&k->texts, key) : NULL;
        if (access == NULL || (!v->read_only && strcmp(access, "rw") != 0))
            return MISSING_VOLUMES;
    }
    return NULL;
}

static const char *describe(struct arena *a, const Pb__Constraint *c)
{
    char text[2 * TARGET_LONGEST];
    constraint_text(c, text, sizeof(text));
    return arena_strdup(a, text);
}

void feasible_each_constraint(const Pb__Job *job, const Pb__TaskGroup *group, void *self,
                              void (*visit)(void *self, const Pb__Constraint *c, bool of_job))
{
    for (size_t i = 0; i < job->n_constraints; i++)
        visit(self, job->constraints[i], true);
    for (size_t i = 0; i < group->n_constraints; i++)
        visit(self, group->constraints[i], false);
    for (size_t i = 0; i < group->n_tasks; i++)
        for (size_t k = 0; k < group->tasks[i]->n_constraints; k++)
            visit(self, group->tasks[i]->constraints[k], false);
}

struct collector {
    struct feasible *feasible;
    struct arena *arena;
    size_t count;
};

static void on_count(void *self, const Pb__Constraint *c, bool of_job)
{
    ((struct collector *)self)->count++;
}

static void on_constraint(void *self, const Pb__Constraint *c, bool of_job)
{
    struct collector *k = self;
    struct feasible *x = k->feasible;
    struct demand d = {.text = NULL};
    switch (operand_parse(c->operand)) {
    case OPERAND_DISTINCT_HOSTS:
        if (c->r_target != NULL && strcmp(c->r_target, "false") == 0)
            return;
        if (of_job)
            x->distinct_hosts_of_job = true;
        else
            x->distinct_hosts_of_group = true;
        return;
    case OPERAND_DISTINCT_PROPERTY: /* without a value no allocation can be told from another */
        condition_init(&d.condition, k->arena, c->l_target, "is_set", NULL);
        d.text = arena_printf(k->arena, "missing property \"%s\"", c->l_target);
        break;
    default:
        condition_init(&d.condition, k->arena, c->l_target, c->operand, c->r_target);
        d.text = describe(k->arena, c);
    }
    if (d.condition.is_unique)
        x->unique[x->unique_count++] = d;
    else
        x->of_kind[x->of_kind_count++] = d;
}

static const char *missing_driver(const struct kind *k, const Pb__TaskGroup *group)
{
    for (size_t i = 0; i < group->n_tasks; i++)
        if (!has_driver(&k->texts, group->tasks[i]->driver != NULL ? group->tasks[i]->driver : ""))
            return MISSING_DRIVERS;
    return NULL;
}

static const char *judge_kind(const struct fleet *f, uint32_t kind, const struct feasible *x,
                              struct arena *a, const Pb__TaskGroup *group)
{
    const struct kind *k = &f->kinds[kind];
    const char *wrong = missing_driver(k, group);
    if (wrong == NULL)
        wrong = judge_networks(&k->texts, a, group);
    if (wrong == NULL)
        wrong = missing_volumes(k, group);
    if (wrong == NULL)
        wrong = pieces_judge(x->pieces, f, kind);
    if (wrong != NULL)
        return wrong;
    for (size_t i = 0; i < x->of_kind_count; i++)
        if (!condition_holds(&x->of_kind[i].condition, &k->texts, NULL))
            return x->of_kind[i].text;
    return NULL;
}

void feasible_init(struct feasible *x, struct arena *a, const struct fleet *f, const Pb__Job *job,
                   const Pb__TaskGroup *group)
{
    *x = (struct feasible){
        .verdicts = arena_array(a, const char *, f->kind_count + 1),
        .elsewhere = arena_array(a, bool, f->kind_count + 1),
        .pieces = pieces_new(a, f, group),
    };
    struct collector c = {.feasible = x, .arena = a};
    feasible_each_constraint(job, group, &c, on_count);
    x->of_kind = arena_array(a, struct demand, c.count + 1);
    x->unique = arena_array(a, struct demand, c.count + 1);
    feasible_each_constraint(job, group, &c, on_constraint);
    for (uint32_t i = 0; i < f->kind_count; i++) {
        if (f->kinds[i].nodes == 0)
            continue;
        x->elsewhere[i] =
            !in_pool(job, f->kinds[i].pool) || !in_datacenters(job, f->kinds[i].datacenter);
        x->verdicts[i] = judge_kind(f, i, x, a, group);
    }
}

const char *feasible_node(const struct feasible *x, const struct fleet *f, uint32_t slot)
{
    uint32_t kind = f->kind_of[slot];
    if (x->elsewhere[kind])
        return "node pool or datacenter";
    if (x->verdicts[kind] != NULL)
        return x->verdicts[kind];
    for (size_t i = 0; i < x->unique_count; i++)
        if (!condition_holds(&x->unique[i].condition, &f->kinds[kind].texts, &f->unique[slot]))
            return x->unique[i].text;
    return NULL;
}

size_t feasible_wrongs(const struct feasible *x, struct arena *a, const struct fleet *f,
                       uint32_t slot, const Pb__TaskGroup *group, const char **out, size_t max)
{
    const struct kind *k = &f->kinds[f->kind_of[slot]];
    const char *fixed[] = {missing_driver(k, group), judge_networks(&k->texts, a, group),
                           missing_volumes(k, group), pieces_judge(x->pieces, f, f->kind_of[slot])};
    size_t n = 0;
    for (size_t i = 0; i < COUNT_OF(fixed); i++)
        if (fixed[i] != NULL && n < max)
            out[n++] = fixed[i];
    for (size_t i = 0; i < x->of_kind_count && n < max; i++)
        if (!condition_holds(&x->of_kind[i].condition, &k->texts, NULL))
            out[n++] = x->of_kind[i].text;
    for (size_t i = 0; i < x->unique_count && n < max; i++)
        if (!condition_holds(&x->unique[i].condition, &k->texts, &f->unique[slot]))
            out[n++] = x->unique[i].text;
    return n;
}
