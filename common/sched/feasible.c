#include "sched/feasible.h"
#include "sched/constraint.h"
#include "sched/rows.h"
#include <fnmatch.h>
#include <string.h>

/* Nomad's name for it. */
#define MISSING_DRIVERS "missing drivers"

static bool in_datacenters(const Pb__Job *job, const char *datacenter)
{
    for (size_t i = 0; i < job->n_datacenters; i++)
        if (fnmatch(job->datacenters[i], datacenter, 0) == 0)
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

static const char *resolve(const struct texts *kind, const struct texts *unique, const char *target)
{
    char key[512];
    if (target == NULL)
        return "";
    if (!target_key(target, key, sizeof(key)))
        return target;
    const char *value = key[0] != '!' ? texts_get(kind, key) : NULL;
    return value == NULL && unique != NULL ? texts_get(unique, key) : value;
}

static bool holds(const Pb__Constraint *c, const struct texts *kind, const struct texts *unique)
{
    return operand_holds(operand_parse(c->operand), resolve(kind, unique, c->l_target),
                         resolve(kind, unique, c->r_target));
}

static const char *describe(struct arena *a, const Pb__Constraint *c)
{
    char text[512];
    constraint_text(c, text, sizeof(text));
    return arena_strdup(a, text);
}

static bool is_distinct_hosts(const Pb__Constraint *c)
{
    return operand_parse(c->operand) == OPERAND_DISTINCT_HOSTS;
}

static bool is_wanted(const Pb__Constraint *c)
{
    return c->r_target == NULL || strcmp(c->r_target, "false") != 0;
}

static const char *judge_constraints(struct arena *a, const struct texts *kind,
                                     Pb__Constraint *const *constraints, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const Pb__Constraint *c = constraints[i];
        if (!is_distinct_hosts(c) && !constraint_is_unique(c) && !holds(c, kind, NULL))
            return describe(a, c);
    }
    return NULL;
}

static const char *judge_kind(struct arena *a, const struct kind *k, const Pb__Job *job,
                              const Pb__TaskGroup *group)
{
    const char *wrong = judge_constraints(a, &k->texts, job->constraints, job->n_constraints);
    for (size_t i = 0; wrong == NULL && i < group->n_tasks; i++)
        if (!has_driver(&k->texts, group->tasks[i]->driver != NULL ? group->tasks[i]->driver : ""))
            wrong = MISSING_DRIVERS;
    if (wrong == NULL)
        wrong = judge_constraints(a, &k->texts, group->constraints, group->n_constraints);
    for (size_t i = 0; wrong == NULL && i < group->n_tasks; i++)
        wrong = judge_constraints(a, &k->texts, group->tasks[i]->constraints,
                                  group->tasks[i]->n_constraints);
    return wrong;
}

static void collect_unique(struct feasible *x, Pb__Constraint *const *constraints, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!is_distinct_hosts(constraints[i]) && constraint_is_unique(constraints[i]))
            x->unique[x->unique_count++] = constraints[i];
}

static bool wants_distinct_hosts(Pb__Constraint *const *constraints, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (is_distinct_hosts(constraints[i]) && is_wanted(constraints[i]))
            return true;
    return false;
}

void feasible_init(struct feasible *x, struct arena *a, const struct fleet *f, const Pb__Job *job,
                   const Pb__TaskGroup *group)
{
    *x = (struct feasible){
        .verdicts = arena_array(a, const char *, f->kind_count + 1),
        .elsewhere = arena_array(a, bool, f->kind_count + 1),
        .distinct_hosts_of_job = wants_distinct_hosts(job->constraints, job->n_constraints),
        .distinct_hosts_of_group = wants_distinct_hosts(group->constraints, group->n_constraints),
    };
    for (uint32_t i = 0; i < f->kind_count; i++) {
        if (f->kinds[i].nodes == 0)
            continue;
        x->elsewhere[i] = !in_datacenters(job, f->kinds[i].datacenter);
        x->verdicts[i] = judge_kind(a, &f->kinds[i], job, group);
    }
    size_t room = job->n_constraints + group->n_constraints;
    for (size_t i = 0; i < group->n_tasks; i++)
        room += group->tasks[i]->n_constraints;
    x->unique = arena_array(a, const Pb__Constraint *, room + 1);
    collect_unique(x, job->constraints, job->n_constraints);
    collect_unique(x, group->constraints, group->n_constraints);
    for (size_t i = 0; i < group->n_tasks; i++)
        collect_unique(x, group->tasks[i]->constraints, group->tasks[i]->n_constraints);
}

const char *feasible_node(const struct feasible *x, struct arena *a, const struct fleet *f,
                          uint32_t slot)
{
    uint32_t kind = f->kind_of[slot];
    if (x->elsewhere[kind])
        return "datacenter";
    if (x->verdicts[kind] != NULL)
        return x->verdicts[kind];
    for (size_t i = 0; i < x->unique_count; i++)
        if (!holds(x->unique[i], &f->kinds[kind].texts, &f->unique[slot]))
            return describe(a, x->unique[i]);
    return NULL;
}
