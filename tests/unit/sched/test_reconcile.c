/* The rules of reconcile.h: a table of cases, one row a case. */
#include "onejob.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "sched/essence.h"
#include "sched/reconcile.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What an allocation is like: "INDEX:WHAT@VERSION/NODE", NODE g(ood), l(ost) or u(nsuitable).
 * WHAT: run, pend, done, fail, lost; stop (wanted to end, still there), gone (wanted to end, and
 * has), move (to migrate), mend (to migrate, and complete). The job is at version 2; versions 0 and
 * 1 differ from it as the row says. */
enum change { CHANGED_NOTHING, CHANGED_COUNT, CHANGED_TASK };

static const struct {
    const char *name, *type, *allocs;
    uint32_t count;
    enum change change; /* from the older versions to the present one */
    bool stop;
    const char *expect; /* "+I" place, "~I" replace, "=I" in place, "-I" stop, "xI" lost, by name */
} cases[] = {
    {"a new job", "service", "", 3, CHANGED_NOTHING, false, "+0 +1 +2"},
    {"all is well", "service", "0:run@2/g 1:pend@2/g", 2, CHANGED_NOTHING, false, ""},
    {"one is missing in the middle", "service", "0:run@2/g 2:run@2/g", 3, CHANGED_NOTHING, false,
     "+1"},
    {"scale up", "service", "0:run@1/g 1:run@1/g", 4, CHANGED_COUNT, false, "+2 +3 =0 =1"},
    {"scale down takes the highest", "service", "0:run@1/g 1:run@1/g 2:run@1/g", 1, CHANGED_COUNT,
     false, "=0 -1 -2"},
    {"scale to nothing", "service", "0:run@2/g", 0, CHANGED_NOTHING, false, "-0"},
    {"a changed task", "service", "0:run@1/g 1:run@1/g", 2, CHANGED_TASK, false, "~0 ~1"},
    {"a changed task and fewer", "service", "0:run@1/g 1:run@1/g", 1, CHANGED_TASK, false, "~0 -1"},
    {"half way through an update", "service", "0:run@2/g 1:run@1/g", 2, CHANGED_TASK, false, "~1"},
    {"a changed count on an unsuitable node", "service", "0:run@1/u", 1, CHANGED_COUNT, false,
     "~0"},
    {"unsuitable, but of this version", "service", "0:run@2/u", 1, CHANGED_NOTHING, false, ""},
    {"a stopped job", "service", "0:run@1/g 1:run@2/g", 2, CHANGED_TASK, true, "-0 -1"},
    {"a stopped job on a lost node", "service", "0:run@2/l", 1, CHANGED_NOTHING, true, "x0"},
    {"a lost node", "service", "0:run@2/l 1:run@2/g", 2, CHANGED_NOTHING, false, "+0 x0"},
    {"a lost node and fewer", "service", "0:run@1/g 1:run@1/l", 1, CHANGED_COUNT, false, "=0 x1"},
    {"lost, though it was to stop", "service", "0:stop@2/l", 0, CHANGED_NOTHING, false, "x0"},
    {"to stop: its name is free", "service", "0:stop@2/g", 1, CHANGED_NOTHING, false, "+0"},
    {"stopped: its name is free", "service", "0:gone@2/g", 1, CHANGED_NOTHING, false, "+0"},
    {"a service that completed", "service", "0:done@2/g", 1, CHANGED_NOTHING, false, "+0"},
    {"a service that failed", "service", "0:fail@2/g", 1, CHANGED_NOTHING, false, ""},
    {"failed, then changed", "service", "0:fail@1/g", 1, CHANGED_TASK, false, "+0"},
    {"failed, then counted anew", "service", "0:fail@1/g", 2, CHANGED_COUNT, false, "+1"},
    {"lost before", "service", "0:lost@2/g", 1, CHANGED_NOTHING, false, "+0"},
    {"batch is not run again", "batch", "0:done@2/g 1:run@2/g", 2, CHANGED_NOTHING, false, ""},
    {"batch that failed", "batch", "0:fail@2/g", 1, CHANGED_NOTHING, false, ""},
    {"batch, a new version", "batch", "0:done@1/g 1:fail@1/g", 2, CHANGED_TASK, false, "+0 +1"},
    {"batch, counted anew while it runs", "batch", "0:run@1/g", 2, CHANGED_COUNT, false, "+1 =0"},
    {"batch on a lost node", "batch", "0:run@2/l 1:done@2/l", 2, CHANGED_NOTHING, false, "+0 x0"},
    {"batch, stopped and gone", "batch", "0:gone@2/g", 1, CHANGED_NOTHING, false, "+0"},
    {"two of one name: the older stays", "service", "0:run@2/g 0:run@2/g", 1, CHANGED_NOTHING,
     false, "-0"},
    {"of one name, one ended", "batch", "0:fail@2/g 0:run@2/g", 1, CHANGED_NOTHING, false, ""},
    {"a version nobody knows", "service", "0:run@7/g", 1, CHANGED_NOTHING, false, "~0"},
    {"nothing to run", "service", "", 0, CHANGED_NOTHING, false, ""},
    {"all is missing", "service", "0:lost@2/l 1:lost@2/l", 2, CHANGED_NOTHING, false, "+0 +1"},
    {"the first is missing", "service", "1:run@2/g 2:run@2/g", 3, CHANGED_NOTHING, false, "+0"},
    {"the last is missing", "service", "0:run@2/g 1:run@2/g", 3, CHANGED_NOTHING, false, "+2"},
    {"two gaps", "service", "1:run@2/g 3:run@2/g", 4, CHANGED_NOTHING, false, "+0 +2"},
    {"a name above the count, with a gap below", "service", "0:run@2/g 7:run@2/g", 2,
     CHANGED_NOTHING, false, ""},
    {"a name above the count, and enough", "service", "0:run@2/g 1:run@2/g 7:run@2/g", 2,
     CHANGED_NOTHING, false, "-7"},
    {"a name above the count, one too few", "service", "0:run@2/g 7:run@2/g", 3, CHANGED_NOTHING,
     false, "+1"},
    {"scale down by one", "service", "0:run@1/g 1:run@1/g 2:run@1/g", 2, CHANGED_COUNT, false,
     "=0 =1 -2"},
    {"scale down past a pending one", "service", "0:run@1/g 1:pend@1/g", 1, CHANGED_COUNT, false,
     "=0 -1"},
    {"scale down past a lost one", "service", "0:run@1/g 1:run@1/g 2:run@1/l", 2, CHANGED_COUNT,
     false, "=0 =1 x2"},
    {"scale down to where one is lost", "service", "0:run@1/l 1:run@1/g", 1, CHANGED_COUNT, false,
     "=1 x0"},
    {"scale down past a failed one", "service", "0:run@1/g 1:fail@1/g", 1, CHANGED_COUNT, false,
     "=0"},
    {"scale down below a failed one", "service", "0:fail@1/g 1:run@1/g", 1, CHANGED_COUNT, false,
     "-1"},
    {"scale up from nothing", "service", "", 3, CHANGED_COUNT, false, "+0 +1 +2"},
    {"scale up while one is lost", "service", "0:run@1/g 1:run@1/l", 3, CHANGED_COUNT, false,
     "+1 +2 =0 x1"},
    {"scale up while one is to stop", "service", "0:run@1/g 1:stop@1/g", 2, CHANGED_COUNT, false,
     "+1 =0"},
    {"scale up by one beside the unsuitable", "service", "0:run@2/u", 2, CHANGED_NOTHING, false,
     "+1"},
    {"scale down and unsuitable", "service", "0:run@1/u 1:run@1/u", 1, CHANGED_COUNT, false,
     "~0 -1"},
    {"a pending one is in place too", "service", "0:pend@1/g", 1, CHANGED_COUNT, false, "=0"},
    {"a pending one is replaced too", "service", "0:pend@1/g", 1, CHANGED_TASK, false, "~0"},
    {"two versions behind", "service", "0:run@0/g", 1, CHANGED_TASK, false, "~0"},
    {"two versions behind, the same task", "service", "0:run@0/g", 1, CHANGED_COUNT, false, "=0"},
    {"three versions at once", "service", "0:run@0/g 1:run@1/g 2:run@2/g", 3, CHANGED_TASK, false,
     "~0 ~1"},
    {"three versions at once, the same task", "service", "0:run@0/g 1:run@1/g 2:run@2/g", 3,
     CHANGED_COUNT, false, "=0 =1"},
    {"a changed task and more", "service", "0:run@1/g", 3, CHANGED_TASK, false, "+1 +2 ~0"},
    {"a changed task and one lost", "service", "0:run@1/g 1:run@1/l", 2, CHANGED_TASK, false,
     "+1 ~0 x1"},
    {"a changed task and one to stop", "service", "0:run@1/g 1:stop@1/g", 2, CHANGED_TASK, false,
     "+1 ~0"},
    {"a changed task and one unsuitable", "service", "0:run@1/u", 1, CHANGED_TASK, false, "~0"},
    {"a changed task and one failed", "service", "0:fail@1/g 1:run@1/g", 2, CHANGED_TASK, false,
     "+0 ~1"},
    {"a changed task and one complete", "service", "0:done@1/g 1:run@1/g", 2, CHANGED_TASK, false,
     "+0 ~1"},
    {"a changed task and down to nothing", "service", "0:run@1/g 1:run@1/g", 0, CHANGED_TASK, false,
     "-0 -1"},
    {"a changed task and one of the new version failed", "service", "0:fail@2/g 1:run@1/g", 2,
     CHANGED_TASK, false, "~1"},
    {"all nodes are lost", "service", "0:run@2/l 1:run@2/l 2:pend@2/l", 3, CHANGED_NOTHING, false,
     "+0 +1 +2 x0 x1 x2"},
    {"lost, and lost again", "service", "0:lost@2/l 0:run@2/l", 1, CHANGED_NOTHING, false, "+0 x0"},
    {"lost, and replaced already", "service", "0:lost@2/l 0:run@2/g", 1, CHANGED_NOTHING, false,
     ""},
    {"lost in an older version", "service", "0:run@1/l", 1, CHANGED_COUNT, false, "+0 x0"},
    {"lost in a version nobody knows", "service", "0:run@7/l", 1, CHANGED_NOTHING, false, "+0 x0"},
    {"complete on a lost node", "service", "0:done@2/l", 1, CHANGED_NOTHING, false, "+0"},
    {"failed on a lost node", "service", "0:fail@2/l", 1, CHANGED_NOTHING, false, ""},
    {"to stop on a lost node, and wanted", "service", "0:stop@2/l", 1, CHANGED_NOTHING, false,
     "+0 x0"},
    {"to stop, and replaced already", "service", "0:stop@2/g 0:run@2/g", 1, CHANGED_NOTHING, false,
     ""},
    {"stopped by hand and not wanted", "service", "0:gone@2/g", 0, CHANGED_NOTHING, false, ""},
    {"a stopped job has ended", "service", "0:gone@2/g 1:done@2/g", 2, CHANGED_NOTHING, true, ""},
    {"a stopped job that is stopping", "service", "0:stop@2/g 1:run@2/g", 2, CHANGED_NOTHING, true,
     "-1"},
    {"a stopped job, all kinds", "service", "0:run@2/g 1:pend@1/g 2:fail@2/g 3:lost@2/l 4:run@2/l",
     5, CHANGED_TASK, true, "-0 -1 x4"},
    {"a stopped job on a node that does not suit", "service", "0:run@1/u", 1, CHANGED_TASK, true,
     "-0"},
    {"started again after a stop", "service", "0:gone@1/g 1:gone@1/g", 2, CHANGED_TASK, false,
     "+0 +1"},
    {"one failed, others run", "service", "0:run@2/g 1:fail@2/g 2:run@2/g", 3, CHANGED_NOTHING,
     false, ""},
    {"all failed", "service", "0:fail@2/g 1:fail@2/g", 2, CHANGED_NOTHING, false, ""},
    {"failed, the same task in a new version", "service", "0:fail@1/g", 1, CHANGED_COUNT, false,
     ""},
    {"failed, in a version nobody knows", "service", "0:fail@7/g", 1, CHANGED_NOTHING, false, "+0"},
    {"failed twice", "service", "0:fail@1/g 0:fail@2/g", 1, CHANGED_TASK, false, ""},
    {"batch, new", "batch", "", 2, CHANGED_NOTHING, false, "+0 +1"},
    {"batch, all complete", "batch", "0:done@2/g 1:done@2/g", 2, CHANGED_NOTHING, false, ""},
    {"batch, complete on a lost node", "batch", "0:done@2/l", 1, CHANGED_NOTHING, false, ""},
    {"batch, one was lost before", "batch", "0:done@2/g 1:lost@2/l", 2, CHANGED_NOTHING, false,
     "+1"},
    {"batch, more of it", "batch", "0:done@2/g", 2, CHANGED_NOTHING, false, "+1"},
    {"batch, fewer than are done", "batch", "0:done@2/g 1:done@2/g", 1, CHANGED_NOTHING, false, ""},
    {"batch, fewer than run", "batch", "0:run@2/g 1:run@2/g", 1, CHANGED_NOTHING, false, "-1"},
    {"batch, fewer: what is done counts first by name", "batch", "0:run@2/g 1:done@2/g", 1,
     CHANGED_NOTHING, false, ""},
    {"batch, changed while it runs", "batch", "0:run@1/g 1:done@1/g", 2, CHANGED_TASK, false,
     "+1 ~0"},
    {"batch, stopped job", "batch", "0:run@2/g 1:done@2/g", 2, CHANGED_NOTHING, true, "-0"},
    {"batch, stopped and lost", "batch", "0:run@2/l", 1, CHANGED_NOTHING, true, "x0"},
    {"batch, failed in an older version", "batch", "0:fail@1/g", 1, CHANGED_COUNT, false, "+0"},
    {"batch, unsuitable but of this version", "batch", "0:run@2/u", 1, CHANGED_NOTHING, false, ""},
    {"three of one name", "service", "0:run@2/g 0:run@2/g 0:pend@2/g", 1, CHANGED_NOTHING, false,
     "-0 -0"},
    {"two of one name, one of them lost", "service", "0:run@2/l 0:run@2/g", 1, CHANGED_NOTHING,
     false, "x0"},
    {"two of one name and a gap", "service", "0:run@2/g 0:run@2/g", 2, CHANGED_NOTHING, false,
     "+1 -0"},
    {"to migrate", "service", "0:move@2/g 1:run@2/g", 2, CHANGED_NOTHING, false, "~0"},
    {"to migrate, of an older version that is the same", "service", "0:move@1/g 1:run@1/g", 3,
     CHANGED_COUNT, false, "+2 ~0 =1"},
    {"to migrate, and its node is lost", "service", "0:move@2/l", 1, CHANGED_NOTHING, false,
     "+0 x0"},
    {"to migrate, but not needed", "service", "0:run@2/g 1:move@2/g", 1, CHANGED_NOTHING, false,
     "-1"},
    {"to migrate, and ended meanwhile", "batch", "0:mend@2/g", 1, CHANGED_NOTHING, false, ""},
    {"batch that is to migrate", "batch", "0:move@2/g", 1, CHANGED_NOTHING, false, "~0"},
    {"of one name, one complete and one failed", "batch", "0:done@2/g 0:fail@2/g", 1,
     CHANGED_NOTHING, false, ""},
};

static enum node_state on_node_state(void *owner, const Pb__Alloc *alloc, size_t group)
{
    switch (alloc->client_description[0]) {
    case 'l':
        return NODE_LOST;
    case 'u':
        return NODE_UNSUITABLE;
    default:
        return NODE_GOOD;
    }
}

static void set_state(Pb__Alloc *x, const char *what)
{
    if (strcmp(what, "stop") == 0 || strcmp(what, "gone") == 0)
        x->desired = PB__ALLOC__DESIRED__STOP;
    x->migrate = strcmp(what, "move") == 0 || strcmp(what, "mend") == 0;
    if (strcmp(what, "pend") == 0)
        x->client_status = PB__ALLOC__CLIENT_STATUS__PENDING;
    else if (strcmp(what, "done") == 0 || strcmp(what, "gone") == 0 || strcmp(what, "mend") == 0)
        x->client_status = PB__ALLOC__CLIENT_STATUS__COMPLETE;
    else if (strcmp(what, "fail") == 0)
        x->client_status = PB__ALLOC__CLIENT_STATUS__FAILED;
    else if (strcmp(what, "lost") == 0)
        x->client_status = PB__ALLOC__CLIENT_STATUS__LOST;
}

static void add_allocs(struct onejob *c, const char *text)
{
    Pb__Node *node = onejob_add_node(c, 1, 1, 1);
    unsigned index, version;
    char what[8], state;
    int used;
    for (; sscanf(text, " %u:%4[a-z]@%u/%c%n", &index, what, &version, &state, &used) == 4;
         text += used) {
        Pb__Alloc *x = onejob_add_alloc(c, "g", index, node);
        x->job_version = version;
        x->client_description = arena_printf(c->arena, "%c", state);
        set_state(x, what);
    }
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* In the order "+ ~ = - x", then by name, whatever order reconcile has. */
static const char *describe(struct arena *a, const struct changes *ch)
{
    static const char order[] = "+~=-x";
    char all[100][12];
    size_t n = 0;
    for (size_t i = 0; i < ch->groups[0].wanted_count; i++) {
        const struct wanted *w = &ch->groups[0].wanted[i];
        snprintf(all[n++], 12, "%c%u", w->replaces ? '~' : '+', w->name_index);
    }
    for (size_t i = 0; i < ch->in_place_count; i++)
        snprintf(all[n++], 12, "=%u", ch->in_place[i]->name_index);
    for (size_t i = 0; i < ch->stop_count; i++)
        snprintf(all[n++], 12, "%c%u", ch->stops[i].lost ? 'x' : '-',
                 ch->stops[i].alloc->name_index);
    qsort(all, n, sizeof(all[0]), compare_texts);
    struct strbuf b = STRBUF_INIT;
    for (const char *o = order; *o != '\0'; o++)
        for (size_t i = 0; i < n; i++)
            if (all[i][0] == *o)
                strbuf_printf(&b, "%s%s", b.len > 0 ? " " : "", all[i]);
    char *text = arena_strdup(a, strbuf_text(&b));
    strbuf_free(&b);
    return text;
}

Test(reconcile, does_what_the_table_says)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct onejob c;
        onejob_init(&c);
        onejob_set_job(&c, cases[i].type, 1, 10, 10);
        onejob_next_version(&c);
        Pb__Job *now = onejob_next_version(&c);
        now->task_groups[0]->count = cases[i].count;
        if (cases[i].change == CHANGED_TASK)
            now->task_groups[0]->tasks[0]->user = arena_strdup(c.arena, "another");
        if (cases[i].change == CHANGED_NOTHING)
            for (size_t v = 0; v < c.view.n_versions; v++)
                c.view.versions[v]->task_groups[0]->count = cases[i].count;
        now->stop = cases[i].stop;
        add_allocs(&c, cases[i].allocs);
        struct changes ch;
        reconcile(c.arena, &c.view, NULL, on_node_state, NULL, &ch);
        cr_expect_str_eq(describe(c.arena, &ch), cases[i].expect, "%s: %s, not %s", cases[i].name,
                         describe(c.arena, &ch), cases[i].expect);
        onejob_fini(&c);
    }
}

Test(reconcile, a_purged_job_and_one_made_anew_leave_nothing_behind)
{
    struct onejob c;
    onejob_init(&c);
    onejob_set_job(&c, "service", 1, 10, 10);
    add_allocs(&c, "0:run@0/g 1:done@0/g 2:run@0/l");
    struct changes ch;
    c.view.job->create_index++; /* another job of the same name */
    reconcile(c.arena, &c.view, NULL, on_node_state, NULL, &ch);
    cr_assert_str_eq(describe(c.arena, &ch), "+0 -0 x2");
    c.view.job = NULL;
    reconcile(c.arena, &c.view, NULL, on_node_state, NULL, &ch);
    cr_assert_eq(ch.stop_count, 2);
    onejob_fini(&c);
}

Test(reconcile, a_group_that_is_gone_is_stopped)
{
    struct onejob c;
    onejob_init(&c);
    onejob_set_job(&c, "service", 1, 10, 10);
    add_allocs(&c, "0:run@0/g");
    onejob_next_version(&c)->task_groups[0]->name = arena_strdup(c.arena, "h");
    struct changes ch;
    reconcile(c.arena, &c.view, NULL, on_node_state, NULL, &ch);
    cr_assert_str_eq(describe(c.arena, &ch), "+0 -0");
    onejob_fini(&c);
}

Test(reconcile, a_replacement_knows_whom_it_follows)
{
    struct onejob c;
    onejob_init(&c);
    onejob_set_job(&c, "service", 2, 10, 10);
    add_allocs(&c, "0:run@0/l 1:lost@0/g");
    struct changes ch;
    reconcile(c.arena, &c.view, NULL, on_node_state, NULL, &ch);
    cr_assert_eq(ch.groups[0].wanted_count, 2);
    cr_assert_eq(ch.groups[0].wanted[0].previous, c.view.allocs[0]);
    cr_assert_eq(ch.groups[0].wanted[1].previous, c.view.allocs[1]);
    onejob_fini(&c);
}

Test(reconcile, failures_before_a_loss_count_on_unless_the_task_changed)
{
    static const struct {
        const char *allocs;
        enum change change;
        bool counts;
    } rows[] = {
        {"0:run@1/l", CHANGED_NOTHING, true},   {"0:lost@1/g", CHANGED_NOTHING, true},
        {"0:run@0/l", CHANGED_COUNT, true},     {"0:run@0/l", CHANGED_TASK, false},
        {"0:gone@1/g", CHANGED_NOTHING, false}, {"0:fail@0/g", CHANGED_TASK, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct onejob c;
        struct changes ch;
        Pb__RescheduleTracker before = PB__RESCHEDULE_TRACKER__INIT;
        onejob_init(&c);
        onejob_set_job(&c, "service", 1, 10, 10);
        Pb__Job *now = onejob_next_version(&c);
        if (rows[i].change == CHANGED_TASK)
            now->task_groups[0]->tasks[0]->user = arena_strdup(c.arena, "another");
        add_allocs(&c, rows[i].allocs);
        c.view.allocs[0]->reschedule_tracker = &before;
        reconcile(c.arena, &c.view, NULL, on_node_state, NULL, &ch);
        cr_assert_eq(ch.groups[0].wanted_count, 1, "%s", rows[i].allocs);
        cr_expect_eq(ch.groups[0].wanted[0].tracker, rows[i].counts ? &before : NULL, "%zu: %s", i,
                     rows[i].allocs);
        onejob_fini(&c);
    }
}

/* ---- which changes need a restart */

static void change_constraint(struct onejob *c, Pb__Job *j)
{
    Pb__TaskGroup *g = j->task_groups[0];
    g->constraints[g->n_constraints++] = a_constraint(c->arena, "${attr.x}", "!=", "y");
}
static void change_priority(struct onejob *c, Pb__Job *j)
{
    j->has_priority = 1;
    j->priority = 70;
}
static void change_update(struct onejob *c, Pb__Job *j)
{
    j->task_groups[0]->update = arena_array(c->arena, Pb__UpdateStrategy, 1);
    pb__update_strategy__init(j->task_groups[0]->update);
    j->task_groups[0]->update->has_max_parallel = 1;
    j->task_groups[0]->update->max_parallel = 3;
}
static void change_job_meta(struct onejob *c, Pb__Job *j)
{
    j->meta = arena_array(c->arena, Pb__KeyValue *, 1);
    j->meta[j->n_meta++] = a_pair(c->arena, "k", "v");
}
static void change_cpu(struct onejob *c, Pb__Job *j)
{
    j->task_groups[0]->tasks[0]->resources->cpu++;
}
static void change_config(struct onejob *c, Pb__Job *j)
{
    j->task_groups[0]->tasks[0]->config_json = arena_strdup(c->arena, "{\"a\":1}");
}
static void change_env(struct onejob *c, Pb__Job *j)
{
    Pb__Task *t = j->task_groups[0]->tasks[0];
    t->env = arena_array(c->arena, Pb__KeyValue *, 1);
    t->env[t->n_env++] = a_pair(c->arena, "k", "v");
}
static void change_disk(struct onejob *c, Pb__Job *j)
{
    j->task_groups[0]->ephemeral_disk = arena_array(c->arena, Pb__EphemeralDisk, 1);
    pb__ephemeral_disk__init(j->task_groups[0]->ephemeral_disk);
    j->task_groups[0]->ephemeral_disk->has_size_mb = 1;
    j->task_groups[0]->ephemeral_disk->size_mb = 5;
}

Test(reconcile, only_what_touches_the_task_restarts_it)
{
    static const struct {
        void (*change)(struct onejob *c, Pb__Job *j);
        bool destructive;
    } changes[] = {
        {change_constraint, false}, {change_priority, false}, {change_update, false},
        {change_job_meta, true},    {change_cpu, true},       {change_config, true},
        {change_env, true},         {change_disk, true},
    };
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        struct onejob c;
        onejob_init(&c);
        Pb__Job *was = onejob_set_job(&c, "service", 1, 10, 10), *now = onejob_next_version(&c);
        changes[i].change(&c, now);
        cr_assert_eq(group_update_is_destructive(c.arena, was, was->task_groups[0], now,
                                                 now->task_groups[0]),
                     changes[i].destructive, "change %zu", i);
        onejob_fini(&c);
    }
}
