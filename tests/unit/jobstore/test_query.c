#include "cluster.h"
#include "query.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <string.h>

static struct cluster *c;

static void begin(void)
{
    c = cluster_new();
}

static void end(void)
{
    cluster_free(c);
}

TestSuite(query, .init = begin, .fini = end);

static char *text(const char *s)
{
    return arena_strdup(c->arena, s);
}

static Pb__Objects *list(const Pb__List *q)
{
    struct reason why;
    Pb__Objects out = PB__OBJECTS__INIT;
    struct view *v = state_read(c->state);
    cr_assert_eq(query_list(v, c->arena, q, &out, &why), OK, "%s", why.text);
    Pb__Objects *wired = (Pb__Objects *)wire_clone(c->arena, &out.base);
    view_abort(v);
    return wired;
}

static Pb__JobView *view_of_job(const char *id)
{
    struct reason why;
    Pb__JobKey key = PB__JOB_KEY__INIT, *keys[] = {&key};
    Pb__JobViewsRequest q = PB__JOB_VIEWS_REQUEST__INIT;
    Pb__JobViews out = PB__JOB_VIEWS__INIT;
    key.id = text(id);
    q.n_jobs = 1;
    q.jobs = keys;
    struct view *v = state_read(c->state);
    cr_assert_eq(query_job_views(v, c->arena, &q, &out, &why), OK, "%s", why.text);
    Pb__JobViews *wired = (Pb__JobViews *)wire_clone(c->arena, &out.base);
    view_abort(v);
    cr_assert_eq(wired->index, c->index);
    return wired->jobs[0];
}

static void register_in(const char *ns, const char *id)
{
    Pb__Job *job = a_job(c, id, 1);
    Pb__Namespace n = PB__NAMESPACE__INIT;
    Pb__NamespaceSet set = PB__NAMESPACE_SET__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    n.name = job->namespace_ = text(ns);
    set.namespace_ = &n;
    cmd.body_case = PB__COMMAND__BODY_NAMESPACE_SET;
    cmd.namespace_set = &set;
    cluster_apply(c, &cmd, 0);
    register_job(c, job);
}

/* Places n on node 1 for a job registered just now. */
static void place(const char *job, uint32_t n)
{
    register_node(c, a_node(c, 1, 10000, 10000));
    Pb__Plan *p = a_plan(c, register_job(c, a_job(c, job, n))->eval_id);
    for (uint32_t i = 0; i < n; i++)
        plan_place(c, p, id_of(c, "node", 1), 1, 1, 0);
    cr_assert_eq(apply_a_plan(c, p)->placed, n);
}

Test(query, jobs_are_listed_by_namespace_and_prefix)
{
    register_in("default", "web");
    register_in("default", "web-2");
    register_in("default", "api");
    register_in("other", "web");
    Pb__List q = PB__LIST__INIT;
    q.table = PB__TABLE__NAME__JOBS;
    cr_assert_eq(list(&q)->n_objects, 4);
    q.prefix = text("web");
    cr_assert_eq(list(&q)->n_objects, 3);
    q.namespace_ = text("*");
    cr_assert_eq(list(&q)->n_objects, 3);
    q.namespace_ = text("default");
    Pb__Objects *out = list(&q);
    cr_assert_eq(out->n_objects, 2);
    cr_assert_str_eq(out->objects[0]->job->id, "web");
    cr_assert_eq(out->table_index, c->index);
    q.namespace_ = text("defaul");
    cr_assert_eq(list(&q)->n_objects, 0, "a namespace is whole");
}

Test(query, pages_give_each_object_once)
{
    place("web", 25);
    Pb__List q = PB__LIST__INIT;
    q.table = PB__TABLE__NAME__ALLOCS;
    q.limit = 7;
    for (int by_node = 0; by_node < 2; by_node++) {
        size_t n = 0;
        q.after = NULL;
        q.by = by_node ? PB__LIST__BY__NODE : PB__LIST__BY__ALL;
        q.has_id = by_node;
        q.id = id_of(c, "node", 1);
        do {
            Pb__Objects *out = list(&q);
            n += out->n_objects;
            q.after = out->next;
            cr_assert_leq(out->n_objects, 7);
        } while (q.after != NULL);
        cr_assert_eq(n, 25);
    }
}

Test(query, allocations_bring_their_tasks_where_asked)
{
    ProtobufCBinaryData id, none = {0};
    Pb__AllocUpdates body = PB__ALLOC_UPDATES__INIT;
    Pb__AllocUpdate one = PB__ALLOC_UPDATE__INIT, *all[] = {&one};
    Pb__TaskState task = PB__TASK_STATE__INIT, *tasks[] = {&task};
    Pb__Command cmd = PB__COMMAND__INIT;
    place("web", 2);
    ids_by(c, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, "web", none, &id, 1);
    task.name = text("t");
    one.has_alloc_id = true;
    one.alloc_id = id;
    one.n_tasks = 1;
    one.tasks = tasks;
    body.n_allocs = 1;
    body.allocs = all;
    cmd.body_case = PB__COMMAND__BODY_ALLOC_UPDATES;
    cmd.alloc_updates = &body;
    cluster_apply(c, &cmd, 0);
    Pb__List q = PB__LIST__INIT;
    q.table = PB__TABLE__NAME__ALLOCS;
    q.by = PB__LIST__BY__JOB;
    q.name = text("web");
    q.with_tasks = true;
    Pb__Objects *out = list(&q);
    cr_assert_eq(out->n_objects, 3);
    cr_assert_eq(out->objects[1]->table, PB__TABLE__NAME__ALLOC_TASKS);
    cr_assert_str_eq(out->objects[1]->alloc_tasks->tasks[0]->name, "t");
}

Test(query, versions_are_listed_newest_first_with_the_current_one)
{
    for (uint32_t count = 1; count <= 3; count++)
        register_job(c, a_job(c, "web", count));
    Pb__List q = PB__LIST__INIT;
    q.table = PB__TABLE__NAME__JOB_VERSIONS;
    q.by = PB__LIST__BY__JOB;
    q.name = text("web");
    Pb__Objects *out = list(&q);
    cr_assert_eq(out->n_objects, 3);
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(out->objects[i]->job->version, 2 - i);
}

Test(query, ids_are_found_by_a_prefix_of_any_length)
{
    char id_text[ID_TEXT_SIZE];
    place("web", 3);
    ProtobufCBinaryData ids[3], none = {0};
    ids_by(c, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, "web", none, ids, 3);
    id_format(ids[1].data, id_text);
    Pb__List q = PB__LIST__INIT;
    q.table = PB__TABLE__NAME__ALLOCS;
    q.prefix = id_text;
    cr_assert_eq(list(&q)->n_objects, 1);
    id_text[11] = '\0'; /* an odd number of digits of the time they share */
    cr_assert_eq(list(&q)->n_objects, 3);
    q.prefix = text("f");
    cr_assert_eq(list(&q)->n_objects, 0);
}

Test(query, what_cannot_be_listed_is_refused)
{
    static const struct {
        int table, by;
    } cases[] = {{0, 0},
                 {99, 0},
                 {PB__TABLE__NAME__NODES, PB__LIST__BY__JOB},
                 {PB__TABLE__NAME__ALLOCS, PB__LIST__BY__NODE},
                 {PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct reason why;
        Pb__List q = PB__LIST__INIT;
        Pb__Objects out = PB__OBJECTS__INIT;
        q.table = (Pb__Table__Name)cases[i].table;
        q.by = (Pb__List__By)cases[i].by; /* without the name or id it needs */
        struct view *v = state_read(c->state);
        cr_assert_eq(query_list(v, c->arena, &q, &out, &why), ERR_INVALID, "case %zu", i);
        view_abort(v);
    }
}

Test(query, a_missing_object_is_none_and_a_key_without_its_parts_a_mistake)
{
    struct reason why;
    Pb__Key key = PB__KEY__INIT;
    struct view *v = state_read(c->state);
    key.table = PB__TABLE__NAME__JOBS;
    cr_assert_null(query_get(v, c->arena, &key, &why));
    cr_assert_str_neq(why.text, "");
    key.name = text("ghost");
    cr_assert_null(query_get(v, c->arena, &key, &why));
    cr_assert_str_eq(why.text, "");
    view_abort(v);
}

Test(query, a_job_view_holds_what_planning_needs)
{
    ProtobufCBinaryData ids[4], none = {0};
    place("web", 4);
    ids_by(c, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, "web", none, ids, 4);
    update_alloc(c, ids[0], PB__ALLOC__CLIENT_STATUS__COMPLETE); /* ended by itself: stays */
    Pb__Plan *p = a_plan(c, register_job(c, a_job(c, "web", 3))->eval_id);
    plan_stop(c, p, ids[1], false);
    apply_a_plan(c, p);
    update_alloc(c, ids[1], PB__ALLOC__CLIENT_STATUS__COMPLETE); /* stopped and ended: gone */
    Pb__JobView *view = view_of_job("web");
    cr_assert_eq(view->job->version, 1);
    cr_assert_eq(view->n_allocs, 3);
    cr_assert_eq(view->n_versions, 1);
    cr_assert_eq(view->versions[0]->version, 0);
}

Test(query, the_view_of_a_purged_job_has_only_what_still_lives)
{
    ProtobufCBinaryData ids[2], none = {0};
    place("web", 2);
    ids_by(c, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, "web", none, ids, 2);
    update_alloc(c, ids[0], PB__ALLOC__CLIENT_STATUS__COMPLETE);
    deregister_job(c, "web", true);
    Pb__JobView *view = view_of_job("web");
    cr_assert_null(view->job);
    cr_assert_eq(view->n_allocs, 1);
    cr_assert_eq(view_of_job("ghost")->n_allocs, 0);
}

Test(query, a_reader_of_another_history_is_too_old)
{
    Pb__Changes q = PB__CHANGES__INIT;
    Pb__ChangesReply out = PB__CHANGES_REPLY__INIT;
    register_job(c, a_job(c, "web", 1));
    q.since = 99;
    struct view *v = state_read(c->state);
    cr_assert(query_has_changes(view_meta(v), 99, 0));
    query_changes(v, c->arena, &q, &out);
    view_abort(v);
    cr_assert(out.too_old);
    cr_assert_eq(out.reached, 1);
}
