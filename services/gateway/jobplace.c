#include "jobplace.h"
#include "answer.h"
#include <string.h>

struct jobplace {
    struct call_context *context;
    const Pb__Job *job;
    void (*go_on)(void *owner);
    void *owner;
};

static bool is_one_of(const char *name, const char *a, const char *b)
{
    return name == NULL || name[0] == '\0' || strcmp(name, a) == 0 || strcmp(name, b) == 0;
}

/* Whether it is there; else answered. */
static bool is_there(const struct jobplace *p, const struct response *r, const char *kind,
                     const char *name)
{
    struct exchange *x = p->context->x;
    if (r->code == PB__REPLY__CODE__NOT_FOUND)
        answer_text(x, 500, "job \"%s\" is in nonexistent %s \"%s\"", p->job->id, kind, name);
    else if (r->code != PB__REPLY__CODE__OK)
        answer_failure(x, r);
    return r->code == PB__REPLY__CODE__OK;
}

static void look_up(struct jobplace *p, Pb__Table__Name table, const char *name, response_fn *done)
{
    Pb__Key key = PB__KEY__INIT;
    key.has_table = 1;
    key.table = table;
    key.name = (char *)(uintptr_t)name;
    gateway_get(p->context->gateway, false, &key, done, p);
}

static void on_pool(void *owner, const struct response *r)
{
    const struct jobplace *p = owner;
    if (is_there(p, r, "node pool", p->job->node_pool))
        p->go_on(p->owner);
}

static void look_up_pool(struct jobplace *p)
{
    if (is_one_of(p->job->node_pool, "default", "all"))
        p->go_on(p->owner);
    else
        look_up(p, PB__TABLE__NAME__NODE_POOLS, p->job->node_pool, on_pool);
}

static void on_namespace(void *owner, const struct response *r)
{
    struct jobplace *p = owner;
    if (is_there(p, r, "namespace", p->job->namespace_))
        look_up_pool(p);
}

void jobplace_check(struct call_context *c, const Pb__Job *job, void (*go_on)(void *owner),
                    void *owner)
{
    struct jobplace *p = arena_alloc(exchange_arena(c->x), sizeof(*p));
    *p = (struct jobplace){c, job, go_on, owner};
    if (is_one_of(job->namespace_, "default", "default"))
        look_up_pool(p);
    else
        look_up(p, PB__TABLE__NAME__NAMESPACES, job->namespace_, on_namespace);
}
