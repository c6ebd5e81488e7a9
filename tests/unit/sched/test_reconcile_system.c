/* The rules of reconcile.h for jobs that run once on each node: a table of cases, one row a case.
 */
#include "onejob.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "sched/reconcile.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES 6

/* "NODE:WHAT@VERSION": what is on the node of that number, as in test_reconcile.c. The nodes that
 * can run the job as it is now are those in `nodes`; of the others, those in `lost` are down, and
 * the rest runs but does not suit. The job is at version 2. */
static const struct {
    const char *name, *type, *nodes, *lost, *allocs;
    bool changed; /* the task, from the older versions to the present one */
    bool stop;
    const char *expect; /* "+N" place, "~N" replace, "=N" in place, "-N" stop, "xN" lost, by node */
} cases[] = {
    {"a new job goes on each node", "system", "012", "", "", false, false, "+0 +1 +2"},
    {"no node, nothing to do", "system", "", "", "", false, false, ""},
    {"all is well", "system", "01", "", "0:run@2 1:pend@2", false, false, ""},
    {"a new node", "system", "012", "", "0:run@2 1:run@2", false, false, "+2"},
    {"a new node among others", "system", "012", "", "0:run@2 2:run@2", false, false, "+1"},
    {"a node is down", "system", "0", "1", "0:run@2 1:run@2", false, false, "x1"},
    {"a node is down, and was to stop", "system", "0", "1", "0:run@2 1:stop@2", false, false, "x1"},
    {"a node came back", "system", "01", "", "0:run@2 1:lost@2", false, false, "+1"},
    {"a node takes no new ones, but keeps what it has", "system", "0", "", "0:run@2 1:run@2", false,
     false, ""},
    {"a changed task", "system", "01", "", "0:run@1 1:run@1", true, false, "~0 ~1"},
    {"a changed task, half way", "system", "01", "", "0:run@2 1:run@1", true, false, "~1"},
    {"a changed task and a new node", "system", "012", "", "0:run@1 1:run@1", true, false,
     "+2 ~0 ~1"},
    {"another version of the same task", "system", "01", "", "0:run@1 1:run@0", false, false,
     "=0 =1"},
    {"a new version that a node does not suit", "system", "0", "", "0:run@1 1:run@1", false, false,
     "=0 -1"},
    {"a changed task on a node that is down", "system", "0", "1", "0:run@1 1:run@1", true, false,
     "~0 x1"},
    {"a stopped job", "system", "01", "", "0:run@2 1:run@1", false, true, "-0 -1"},
    {"a stopped job on a node that is down", "system", "0", "1", "0:run@2 1:run@2", false, true,
     "-0 x1"},
    {"stopped and gone", "system", "0", "", "0:gone@2", false, true, ""},
    {"to stop: the node is free", "system", "0", "", "0:stop@2", false, false, "+0"},
    {"stopped by hand", "system", "0", "", "0:gone@2", false, false, "+0"},
    {"one that completed is started again", "system", "0", "", "0:done@2", false, false, "+0"},
    {"one that failed is not", "system", "0", "", "0:fail@2", false, false, ""},
    {"one that failed in an older version is", "system", "0", "", "0:fail@1", false, false, "+0"},
    {"two on one node: the older stays", "system", "0", "", "0:run@2 0:run@2", false, false, "-0"},
    {"one failed, one runs", "system", "0", "", "0:fail@2 0:run@2", false, false, ""},
    {"two failed", "system", "0", "", "0:fail@2 0:fail@2", false, false, ""},
    {"a version nobody knows", "system", "0", "", "0:run@7", false, false, "~0"},
    {"sysbatch, new", "sysbatch", "01", "", "", false, false, "+0 +1"},
    {"sysbatch, complete", "sysbatch", "01", "", "0:done@2 1:done@2", false, false, ""},
    {"sysbatch, a new node", "sysbatch", "01", "", "0:done@2", false, false, "+1"},
    {"sysbatch, failed", "sysbatch", "0", "", "0:fail@2", false, false, ""},
    {"sysbatch, a new version runs again", "sysbatch", "01", "", "0:done@1 1:fail@1", true, false,
     "+0 +1"},
    {"sysbatch, the same task in a new version", "sysbatch", "01", "", "0:done@1 1:run@1", false,
     false, "+0 =1"},
    {"sysbatch, lost in the middle", "sysbatch", "0", "1", "0:run@2 1:run@2", false, false, "x1"},
    {"sysbatch, its node came back", "sysbatch", "01", "", "0:run@2 1:lost@2", false, false, "+1"},
    {"sysbatch, complete on a node that is down", "sysbatch", "0", "1", "0:run@2 1:done@2", false,
     false, ""},
    {"sysbatch, stopped", "sysbatch", "01", "", "0:done@2 1:run@2", false, true, "-1"},
    {"sysbatch, complete and running on one node", "sysbatch", "0", "", "0:done@2 0:run@2", false,
     false, ""},
    {"gaps on both sides", "system", "135", "", "0:run@2 1:run@2 4:run@2", false, false, "+3 +5"},
    {"nothing fits any more", "system", "", "", "0:run@1 1:run@1", false, false, "-0 -1"},
};

struct world {
    struct onejob c;
    struct group_nodes nodes;
    const char *can, *lost;
};

/* Nodes get their numbers in the order of their ids, as reconcile wants them. */
static int compare_nodes(const void *a, const void *b)
{
    return memcmp((*(Pb__Node *const *)a)->id.data, (*(Pb__Node *const *)b)->id.data, ID_SIZE);
}

static unsigned number_of(const struct world *w, const uint8_t *node_id)
{
    for (unsigned i = 0; i < NODES; i++)
        if (id_equal(w->c.nodes[i]->id.data, node_id))
            return i;
    cr_assert_fail("a node that is not there");
    return 0;
}

static enum node_state on_node_state(void *owner, const Pb__Alloc *alloc, size_t group)
{
    struct world *w = owner;
    int digit = '0' + (int)number_of(w, alloc->node_id.data);
    if (strchr(w->lost, digit) != NULL)
        return NODE_LOST;
    return strchr(w->can, digit) != NULL ? NODE_GOOD : NODE_UNSUITABLE;
}

static void set_state(Pb__Alloc *x, const char *what)
{
    if (strcmp(what, "stop") == 0 || strcmp(what, "gone") == 0)
        x->desired = PB__ALLOC__DESIRED__STOP;
    if (strcmp(what, "pend") == 0)
        x->client_status = PB__ALLOC__CLIENT_STATUS__PENDING;
    else if (strcmp(what, "done") == 0 || strcmp(what, "gone") == 0)
        x->client_status = PB__ALLOC__CLIENT_STATUS__COMPLETE;
    else if (strcmp(what, "fail") == 0)
        x->client_status = PB__ALLOC__CLIENT_STATUS__FAILED;
    else if (strcmp(what, "lost") == 0)
        x->client_status = PB__ALLOC__CLIENT_STATUS__LOST;
}

static void make_world(struct world *w, size_t i)
{
    struct onejob *c = &w->c;
    onejob_init(c);
    w->can = cases[i].nodes;
    w->lost = cases[i].lost;
    for (unsigned k = 0; k < NODES; k++)
        onejob_add_node(c, 1, 1, 1);
    qsort(c->nodes, NODES, sizeof(Pb__Node *), compare_nodes);
    w->nodes.ids = arena_array(c->arena, const uint8_t *, NODES);
    w->nodes.count = 0;
    for (const char *n = cases[i].nodes; *n != '\0'; n++)
        w->nodes.ids[w->nodes.count++] = c->nodes[*n - '0']->id.data;
    onejob_set_job(c, cases[i].type, 1, 10, 10);
    onejob_next_version(c);
    Pb__Job *now = onejob_next_version(c);
    if (cases[i].changed)
        now->task_groups[0]->tasks[0]->user = arena_strdup(c->arena, "another");
    now->stop = cases[i].stop;
    unsigned node, version;
    char what[8];
    int used;
    for (const char *t = cases[i].allocs;
         sscanf(t, " %u:%4[a-z]@%u%n", &node, what, &version, &used) == 3; t += used) {
        Pb__Alloc *x = onejob_add_alloc(c, "g", 0, c->nodes[node]);
        x->job_version = version;
        set_state(x, what);
    }
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(a, b);
}

static const char *describe(struct world *w, const struct changes *ch)
{
    static const char order[] = "+~=-x";
    char all[100][12];
    size_t n = 0;
    for (size_t i = 0; i < ch->groups[0].wanted_count; i++) {
        const struct wanted *x = &ch->groups[0].wanted[i];
        snprintf(all[n++], 12, "%c%u", x->replaces ? '~' : '+', number_of(w, x->node_id));
    }
    for (size_t i = 0; i < ch->in_place_count; i++)
        snprintf(all[n++], 12, "=%u", number_of(w, ch->in_place[i]->node_id.data));
    for (size_t i = 0; i < ch->stop_count; i++)
        snprintf(all[n++], 12, "%c%u", ch->stops[i].lost ? 'x' : '-',
                 number_of(w, ch->stops[i].alloc->node_id.data));
    qsort(all, n, sizeof(all[0]), compare_texts);
    struct strbuf b = STRBUF_INIT;
    for (const char *o = order; *o != '\0'; o++)
        for (size_t i = 0; i < n; i++)
            if (all[i][0] == *o)
                strbuf_printf(&b, "%s%s", b.len > 0 ? " " : "", all[i]);
    char *text = arena_strdup(w->c.arena, strbuf_text(&b));
    strbuf_free(&b);
    return text;
}

Test(reconcile_system, does_what_the_table_says)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct world w;
        struct changes ch;
        make_world(&w, i);
        reconcile_system(w.c.arena, &w.c.view, NULL, &w.nodes, on_node_state, &w, &ch);
        cr_expect_str_eq(describe(&w, &ch), cases[i].expect, "%s: %s, not %s", cases[i].name,
                         describe(&w, &ch), cases[i].expect);
        onejob_fini(&w.c);
    }
}

Test(reconcile_system, what_is_stopped_or_lost_and_placed_anew_knows_whom_it_follows)
{
    struct world w;
    struct changes ch;
    make_world(&w, 7); /* a node came back */
    reconcile_system(w.c.arena, &w.c.view, NULL, &w.nodes, on_node_state, &w, &ch);
    cr_assert_eq(ch.groups[0].wanted[0].previous, w.c.view.allocs[1]);
    onejob_fini(&w.c);
}

/* ---- update { max_parallel = 2; stagger = "30s" } at second 100 */

#define SECOND 1000000000ll

/* "NODE:VERSION", of a version 2 with the second it was placed at, as a replacement: "0:2/95". */
static const struct {
    const char *name, *allocs;
    bool rolling;
    const char *expect; /* and "@S": an evaluation at second S */
} steps[] = {
    {"the first step", "0:1 1:1 2:1 3:1 4:1", false, "~0 ~1 @130"},
    {"no more than there are: no further step", "0:1 1:1", false, "~0 ~1"},
    {"just taken: wait", "0:2/99 1:2/99 2:1 3:1", false, ""},
    {"one of the two was taken long ago", "0:2/99 1:2/50 2:1 3:1", false, "~2 @130"},
    {"an evaluation of something else comes too early", "0:2/71 1:2/71 2:1 3:1", false, ""},
    {"an evaluation of something else comes late", "0:2/69 1:2/69 2:1 3:1", false, "~2 ~3"},
    {"the next step, which was planned a little before what it waits for",
     "0:2/71 1:2/71 2:1 3:1 4:1", true, "~2 ~3 @130"},
    {"the next step, and another was just taken", "0:2/99 1:2/99 2:1 3:1", true, ""},
    {"the last step", "0:2/70 1:2/70 2:1", true, "~2"},
    {"all is new", "0:2/70 1:2/70", true, ""},
};

static void make_step(struct world *w, size_t i)
{
    make_world(w, 0); /* a new job */
    w->can = "01234";
    w->nodes.count = 0; /* what is there already matters here */
    Pb__Job *job = w->c.view.job;
    job->task_groups[0]->tasks[0]->user = arena_strdup(w->c.arena, "another");
    job->update = arena_array(w->c.arena, Pb__UpdateStrategy, 1);
    pb__update_strategy__init(job->update);
    job->update->max_parallel = 2;
    job->update->stagger_ns = 30 * SECOND;
    unsigned node, version;
    int used;
    for (const char *t = steps[i].allocs; sscanf(t, " %u:%u%n", &node, &version, &used) == 2;) {
        Pb__Alloc *x = onejob_add_alloc(&w->c, "g", 0, w->c.nodes[node]);
        x->job_version = version;
        t += used;
        if (*t != '/')
            continue;
        x->create_time = strtoll(t + 1, (char **)(uintptr_t)&t, 10) * SECOND;
        x->has_previous_alloc = 1;
        x->previous_alloc = x->id;
    }
}

Test(reconcile_system, takes_one_step_after_the_other)
{
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        struct world w;
        struct changes ch;
        char later[32] = "";
        make_step(&w, i);
        struct occasion at = {.now = 100 * SECOND, .rolling = steps[i].rolling};
        reconcile_system(w.c.arena, &w.c.view, &at, &w.nodes, on_node_state, &w, &ch);
        if (ch.awaiting_count > 0)
            snprintf(later, sizeof later, " @%lld", (long long)(ch.awaiting[0].at / SECOND));
        const char *text = arena_printf(w.c.arena, "%s%s", describe(&w, &ch), later);
        cr_expect_str_eq(text, steps[i].expect, "%s: %s, not %s", steps[i].name, text,
                         steps[i].expect);
        onejob_fini(&w.c);
    }
}
