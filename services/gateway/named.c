#include "named.h"
#include "answer.h"
#include "wire/wire.h"
#include "write.h"
#include <string.h>

#define PAGE 500u

static const struct named *kind_of(const struct query *q)
{
    return q->context->state;
}

/* Built-in ones count as made at index 1, so there is no earlier one. */
static uint64_t index_of(uint64_t table_index)
{
    return table_index > 0 ? table_index : 1;
}

/* ---- the list: records and built-in ones in one order */

struct paging {
    size_t builtins; /* that have had their turn */
    Pb__Key *after;
};

static void read_page(struct query *q);

/* Those that come before the name, or all that are left (NULL); one of that very name has a record.
 */
static void add_builtins(struct query *q, struct paging *p, const char *name)
{
    const struct named *kind = kind_of(q);
    const Pb__Object *o;
    for (; (o = kind->builtin(q->arena, p->builtins)) != NULL; p->builtins++) {
        int order = name == NULL ? -1 : strcmp(kind->name(o), name);
        if (order > 0)
            return;
        if (order < 0 && strncmp(kind->name(o), q->params.prefix, strlen(q->params.prefix)) == 0)
            query_list_add(q, kind->json(o));
    }
}

static void on_page(void *owner, const struct response *r)
{
    struct query *q = owner;
    const struct named *kind = kind_of(q);
    const Pb__Objects *page = (const Pb__Objects *)r->body;
    struct arena *keep = exchange_arena(q->x);
    struct paging *p = q->kept;
    if (r->code != PB__REPLY__CODE__OK || page == NULL) {
        query_failed(q, r);
        return;
    }
    if (p == NULL) {
        if (!query_list_begin(q, index_of(page->table_index)))
            return;
        q->kept = p = arena_array(keep, struct paging, 1);
    }
    for (size_t i = 0; i < page->n_objects; i++) {
        if (kind->name(page->objects[i]) == NULL)
            continue;
        add_builtins(q, p, kind->name(page->objects[i]));
        query_list_add(q, kind->json(page->objects[i]));
    }
    if (page->next == NULL) {
        add_builtins(q, p, NULL);
        query_list_page(q, NULL);
        return;
    }
    p->after = (Pb__Key *)wire_clone(keep, &page->next->base);
    query_list_page(q, read_page);
}

static void read_page(struct query *q)
{
    const struct paging *p = q->kept;
    Pb__List l = PB__LIST__INIT;
    l.has_table = l.has_limit = 1;
    l.table = kind_of(q)->table;
    l.namespace_ = (char *)(uintptr_t) "default"; /* where the keys of names are */
    l.prefix = (char *)(uintptr_t)q->params.prefix;
    l.limit = PAGE;
    l.after = p != NULL ? p->after : NULL;
    gateway_list(q->gateway, q->params.stale, &l, on_page, q);
}

void named_list(struct call_context *c, const struct named *kind)
{
    struct watch_on on = {.tables = 1u << kind->table, .job_prefix = c->params.prefix};
    c->state = (void *)(uintptr_t)kind;
    query_start(c, &on, read_page);
}

/* ---- one */

static const Pb__Object *find_builtin(struct query *q)
{
    const struct named *kind = kind_of(q);
    const Pb__Object *o = NULL;
    for (size_t i = 0; (o = kind->builtin(q->arena, i)) != NULL; i++)
        if (strcmp(kind->name(o), q->context->id) == 0)
            break;
    return o;
}

static void on_object(void *owner, const struct response *r)
{
    struct query *q = owner;
    const struct named *kind = kind_of(q);
    const Pb__Object *o = (const Pb__Object *)r->body, *builtin;
    if (r->code == PB__REPLY__CODE__NOT_FOUND && (builtin = find_builtin(q)) != NULL)
        query_found(q, 1, kind->json(builtin));
    else if (r->code == PB__REPLY__CODE__NOT_FOUND)
        query_missing(q, index_of(r->index), kind->missing);
    else if (r->code != PB__REPLY__CODE__OK || o == NULL || kind->name(o) == NULL)
        query_failed(q, r);
    else
        query_found(q, kind->modify_index(o), kind->json(o));
}

static void read_one(struct query *q)
{
    Pb__Key key = PB__KEY__INIT;
    key.has_table = 1;
    key.table = kind_of(q)->table;
    key.name = (char *)(uintptr_t)q->context->id;
    gateway_get(q->gateway, q->params.stale, &key, on_object, q);
}

void named_get(struct call_context *c, const struct named *kind)
{
    struct watch_on on = {.tables = 1u << kind->table, .job = c->id};
    c->state = (void *)(uintptr_t)kind;
    query_start(c, &on, read_one);
}

/* ---- writing */

static void on_written(void *owner, const struct response *r)
{
    struct call_context *c = owner;
    const Pb__Outcome *o = (const Pb__Outcome *)r->body;
    if (r->code == PB__REPLY__CODE__OK && o != NULL && o->code == PB__OUTCOME__CODE__STALE) {
        c->gateway->counted.refused++;
        answer_text(c->x, 500, "1 error occurred:\n\t* %s in regions: [%s]\n\n", o->reason,
                    c->gateway->region);
        return;
    }
    o = write_applied(c, r, 404);
    if (o != NULL) {
        answer_index(c->x, o->index);
        answer_nothing(c->x, 200);
    }
}

void named_write(struct call_context *c, const Pb__Command *command)
{
    write_command(c, command, on_written);
}
