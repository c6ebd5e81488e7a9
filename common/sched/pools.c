/* Node pools, as far as they say how their jobs are placed. A handful, looked up once per plan. */
#include "sched/rows.h"
#include "base/err.h"
#include <stdlib.h>
#include <string.h>

const char *pool_or_default(const char *name)
{
    return name == NULL || name[0] == '\0' ? "default" : name;
}

static struct pool *find_pool(const struct fleet *f, const char *name)
{
    for (uint32_t i = 0; i < f->pool_count; i++)
        if (strcmp(f->pools[i].name, name) == 0)
            return &f->pools[i];
    return NULL;
}

const char *fleet_pool_algorithm(const struct fleet *f, const char *pool)
{
    const struct pool *p = find_pool(f, pool_or_default(pool));
    return p == NULL ? NULL : p->spreads ? "spread" : "binpack";
}

static void add_pool(struct fleet *f, const char *name, bool spreads)
{
    f->pools = xrealloc(f->pools, (f->pool_count + 1) * sizeof(*f->pools));
    f->pools[f->pool_count++] = (struct pool){xstrdup(name), spreads};
}

void fleet_remove_pool(struct fleet *f, const char *name)
{
    struct pool *p = find_pool(f, name);
    if (p == NULL)
        return;
    free(p->name);
    *p = f->pools[--f->pool_count];
}

void fleet_set_pool(struct fleet *f, const Pb__NodePool *pool)
{
    const Pb__SchedulerConfig *c = pool->scheduler_config;
    const char *algorithm =
        c != NULL && c->scheduler_algorithm != NULL ? c->scheduler_algorithm : "";
    fleet_remove_pool(f, pool->name);
    if (algorithm[0] != '\0')
        add_pool(f, pool->name, strcmp(algorithm, "spread") == 0);
}

void fleet_copy_pools(struct fleet *to, const struct fleet *f)
{
    to->pools = NULL;
    to->pool_count = 0;
    for (uint32_t i = 0; i < f->pool_count; i++)
        add_pool(to, f->pools[i].name, f->pools[i].spreads);
}

void fleet_drop_pools(struct fleet *f)
{
    for (uint32_t i = 0; i < f->pool_count; i++)
        free(f->pools[i].name);
    free(f->pools);
    f->pools = NULL;
    f->pool_count = 0;
}
