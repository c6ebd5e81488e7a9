/* The rules of reconcile.h that need time: rolling updates, canaries, rescheduling, nodes that are
 * not heard of. A table of cases, one row a case. */
#include "onejob.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "sched/reconcile.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND 1000000000ll

/* The job, a service "g" at version 2; older versions have another task unless "same" is given.
 * How it is, in words: count=N parallel=N canary=N (update), d=WHAT (its deployment: r(unning),
 * p(aused), f(ailed), s(uccessful), o(lder: of version 1, running)), promoted, attempts=N every=S
 * delay=S (reschedule: constant) or unlimited, lost=S noreplace (disconnect), ends=S, now=S
 * (100), due (all allocations wait for this evaluation), stop.
 *
 * Allocations: "INDEX:WHAT@VERSION/NODE", NODE g(ood) or l(ost); behind it, if it is part of the
 * deployment, ? (nothing known of its health), + (healthy) or ! (not), then c if it is a canary.
 * WHAT: run, fail, lost, done, move, halt (an operator stopped it), forc (an operator wants a
 * failed one anew), away (not heard of since 10); fail: at 90. A node of its own each.
 *
 * Expected: "D" a new deployment, "C" the one that is there ends; +I placed, oI placed as the older
 * version has it, *I a canary, ~I replaced, =I in place, -I stopped, xI lost, ?I not heard of, @S
 * an evaluation at that time. */
static const struct {
    const char *name, *job, *allocs, *expect;
} cases[] = {
    /* the first deployment */
    {"a new job is deployed at once", "count=3 parallel=1", "", "D +0 +1 +2"},
    {"without update: no deployment", "count=2", "", "+0 +1"},
    {"max_parallel 0: no deployment", "count=2 parallel=0", "", "+0 +1"},
    {"nothing to run: no deployment", "count=0 parallel=1", "", ""},
    {"canaries are for updates", "count=2 parallel=1 canary=1", "", "D +0 +1"},
    {"being deployed: the rest follows", "count=3 parallel=1 d=r", "0:run@2/g?", "+1 +2"},
    {"deployed, all is well", "count=2 parallel=1 d=s", "0:run@2/g+ 1:run@2/g+", ""},
    {"deployed before there were deployments", "count=2 parallel=1", "0:run@2/g 1:run@2/g", ""},
    {"one fails after the deployment", "count=2 parallel=1 d=s unlimited delay=5",
     "0:run@2/g+ 1:fail@2/g+", "~1"},
    {"one is lost after the deployment", "count=2 parallel=1 d=s", "0:run@2/g+ 1:run@2/l+",
     "+1 x1"},
    /* rolling */
    {"the first step", "count=3 parallel=1", "0:run@1/g 1:run@1/g 2:run@1/g", "D ~0"},
    {"two at a time", "count=3 parallel=2", "0:run@1/g 1:run@1/g 2:run@1/g", "D ~0 ~1"},
    {"more at a time than there are", "count=2 parallel=9", "0:run@1/g 1:run@1/g", "D ~0 ~1"},
    {"all at once", "count=2 parallel=0", "0:run@1/g 1:run@1/g", "~0 ~1"},
    {"the new one is not healthy yet", "count=3 parallel=1 d=r", "0:run@2/g? 1:run@1/g 2:run@1/g",
     ""},
    {"the new one is healthy", "count=3 parallel=1 d=r", "0:run@2/g+ 1:run@1/g 2:run@1/g", "~1"},
    {"the new one is not well", "count=3 parallel=1 d=r", "0:run@2/g! 1:run@1/g 2:run@1/g", ""},
    {"one of two new ones is healthy", "count=4 parallel=2 d=r",
     "0:run@2/g+ 1:run@2/g? 2:run@1/g 3:run@1/g", "~2"},
    {"one of two new ones is not well", "count=4 parallel=2 d=r",
     "0:run@2/g+ 1:run@2/g! 2:run@1/g 3:run@1/g", ""},
    {"the last step", "count=2 parallel=1 d=r", "0:run@2/g+ 1:run@1/g", "~1"},
    {"the last is on its way", "count=2 parallel=1 d=r", "0:run@2/g+ 1:run@2/g?", ""},
    {"a free name counts as one on its way", "count=3 parallel=1", "0:run@1/g 1:run@1/g", "D +2"},
    {"a free name, and one more may go", "count=3 parallel=2", "0:run@1/g 1:run@1/g", "D +2 ~0"},
    {"more of it and a changed task", "count=4 parallel=3", "0:run@1/g 1:run@1/g", "D +2 +3 ~0"},
    {"fewer of it and a changed task", "count=1 parallel=1", "0:run@1/g 1:run@1/g", "D ~0 -1"},
    {"lost in the middle of an update", "count=3 parallel=1 d=r", "0:run@2/g+ 1:run@1/l 2:run@1/g",
     "+1 x1"},
    {"the new one is lost", "count=3 parallel=1 d=r", "0:run@2/l? 1:run@1/g 2:run@1/g", "+0 x0"},
    {"the new one failed and comes again later", "count=2 parallel=1 d=r unlimited delay=30",
     "0:fail@2/g! 1:run@1/g", "@120"},
    {"the new one failed and comes again now", "count=2 parallel=1 d=r unlimited delay=5",
     "0:fail@2/g! 1:run@1/g", "~0"},
    {"of two that failed the younger tells how it is", "count=2 parallel=1 d=r",
     "0:fail@2/g 0:fail@2/g! 1:run@1/g", ""},
    {"the new one failed for good", "count=2 parallel=1 d=r", "0:fail@2/g! 1:run@1/g", ""},
    {"the same task: all in place", "count=3 parallel=1 same", "0:run@1/g 1:run@1/g 2:run@1/g",
     "D =0 =1 =2"},
    {"the same task, more of it", "count=3 parallel=1 same", "0:run@1/g 1:run@1/g", "D +2 =0 =1"},
    {"in place while the deployment waits", "count=2 parallel=1 same d=p", "0:run@1/g 1:run@2/g?",
     "=0"},
    {"to migrate goes beside the update", "count=3 parallel=1 d=r",
     "0:run@2/g? 1:move@1/g 2:run@1/g", "~1"},
    {"stopped by an operator, beside the update", "count=3 parallel=1 d=r",
     "0:run@2/g? 1:halt@1/g 2:run@1/g", "~1"},
    {"stopped by an operator", "count=1 parallel=1 d=s", "0:halt@2/g+", "~0"},
    /* paused, failed, cancelled */
    {"paused: no step", "count=3 parallel=1 d=p", "0:run@2/g+ 1:run@1/g 2:run@1/g", ""},
    {"paused: nothing new", "count=3 parallel=1 d=p", "0:run@2/g+", ""},
    {"paused: what was lost comes back", "count=2 parallel=1 d=p", "0:run@2/g+ 1:run@2/l+",
     "+1 x1"},
    {"failed: no step", "count=3 parallel=1 d=f", "0:run@2/g! 1:run@1/g 2:run@1/g", ""},
    {"failed: what was lost comes back", "count=2 parallel=1 d=f", "0:run@2/g+ 1:run@2/l+",
     "+1 x1"},
    {"failed: fewer is still fewer", "count=1 parallel=1 d=f", "0:run@2/g+ 1:run@1/g", "-1"},
    {"a newer version ends the deployment", "count=2 parallel=1 d=o", "0:run@1/g? 1:run@0/g",
     "D C ~0"},
    {"a stopped job ends the deployment", "count=1 parallel=1 d=r stop", "0:run@2/g?", "C -0"},
    {"a stopped job, its deployment is over", "count=1 parallel=1 d=s stop", "0:run@2/g+", "-0"},
    /* canaries */
    {"a canary first", "count=3 parallel=1 canary=1", "0:run@1/g 1:run@1/g 2:run@1/g", "D *0"},
    {"several canaries", "count=3 parallel=1 canary=2", "0:run@1/g 1:run@1/g 2:run@1/g", "D *0 *1"},
    {"more canaries than names", "count=1 parallel=1 canary=2", "0:run@1/g", "D *0 *1"},
    {"as many canaries as count: blue and green", "count=2 parallel=2 canary=2",
     "0:run@1/g 1:run@1/g", "D *0 *1"},
    {"the canary starts", "count=2 parallel=1 canary=1 d=r", "0:run@1/g 0:run@2/g?c 1:run@1/g", ""},
    {"the canary is healthy, and waits", "count=2 parallel=1 canary=1 d=r",
     "0:run@1/g 0:run@2/g+c 1:run@1/g", ""},
    {"the second canary is missing", "count=2 parallel=1 canary=2 d=r",
     "0:run@1/g 0:run@2/g+c 1:run@1/g", "*1"},
    {"the canary is lost", "count=2 parallel=1 canary=1 d=r", "0:run@1/g 0:run@2/l?c 1:run@1/g",
     "*0 x0"},
    {"the canary failed, and comes again", "count=2 parallel=1 canary=1 d=r unlimited delay=5",
     "0:run@1/g 0:fail@2/g!c 1:run@1/g", "*0"},
    {"the canary failed, and comes later", "count=2 parallel=1 canary=1 d=r unlimited delay=30",
     "0:run@1/g 0:fail@2/g!c 1:run@1/g", "@120"},
    {"the canary failed for good", "count=2 parallel=1 canary=1 d=r",
     "0:run@1/g 0:fail@2/g!c 1:run@1/g", ""},
    {"the canary's node is drained", "count=1 parallel=1 canary=1 d=r", "0:run@1/g 0:move@2/g+c",
     "*0"},
    {"promoted: it has the name, the others follow", "count=2 parallel=1 canary=1 d=r promoted",
     "0:run@1/g 0:run@2/g+ 1:run@1/g", "~1 -0"},
    {"promoted, and one is on its way", "count=3 parallel=1 canary=1 d=r promoted",
     "0:run@2/g+ 1:run@2/g? 2:run@1/g", ""},
    {"promoted canaries that are all there is", "count=2 parallel=2 canary=2 d=r promoted",
     "0:run@1/g 0:run@2/g+ 1:run@1/g 1:run@2/g+", "-0 -1"},
    {"canaries of a failed deployment go", "count=2 parallel=1 canary=1 d=f",
     "0:run@1/g 0:run@2/g!c 1:run@1/g", "-0"},
    {"canaries of an older version go", "count=1 parallel=1 canary=1 d=o", "0:run@0/g 0:run@1/g?c",
     "D C *0 -0"},
    {"paused: no more canaries", "count=2 parallel=1 canary=2 d=p",
     "0:run@1/g 0:run@2/g?c 1:run@1/g", ""},
    {"an old one is lost beside the canary", "count=2 parallel=1 canary=1 d=r",
     "0:run@1/g 0:run@2/g?c 1:run@1/l", "o1 x1"},
    {"an old one is to migrate beside the canary", "count=2 parallel=1 canary=1 d=r",
     "0:run@1/g 0:run@2/g?c 1:move@1/g", "o1"},
    {"an old one failed beside the canary, and comes later",
     "count=2 parallel=1 canary=1 d=r unlimited delay=30", "0:fail@1/g 0:run@2/g?c 1:run@1/g",
     "@120"},
    {"an old one failed beside the canary, and comes now",
     "count=2 parallel=1 canary=1 d=r unlimited delay=5", "0:fail@1/g 0:run@2/g?c 1:run@1/g", "o0"},
    {"an old one failed for good beside the canary", "count=2 parallel=1 canary=1 d=r",
     "0:fail@1/g 0:run@2/g?c 1:run@1/g", ""},
    {"promoted: an old one that failed does not come again",
     "count=2 parallel=1 canary=1 d=r promoted unlimited delay=30", "0:run@2/g+ 1:fail@1/g", "+1"},
    {"more of it, with canaries: later", "count=3 parallel=1 canary=1 d=r",
     "0:run@1/g 0:run@2/g?c 1:run@1/g", ""},
    {"the same task needs no canary", "count=2 parallel=1 canary=1 same", "0:run@1/g 1:run@1/g",
     "D =0 =1"},
    /* rescheduling */
    {"failed, and the time has come", "count=1 unlimited delay=10", "0:fail@2/g", "~0"},
    {"failed, and the time will come", "count=1 unlimited delay=11", "0:fail@2/g", "@101"},
    {"no attempts", "count=1 attempts=0 every=60 delay=5", "0:fail@2/g", ""},
    {"one attempt is left", "count=1 attempts=1 every=60 delay=5", "0:fail@2/g", "~0"},
    {"two failed at once", "count=2 unlimited delay=30", "0:fail@2/g 1:fail@2/g", "@120"},
    {"one failed, others run", "count=3 unlimited delay=5", "0:run@2/g 1:fail@2/g 2:run@2/g", "~1"},
    {"failed in an older version, the same task", "count=1 unlimited delay=5 same", "0:fail@1/g",
     "~0"},
    {"failed in an older version", "count=1 unlimited delay=30", "0:fail@1/g", "+0"},
    {"failed, and no longer needed", "count=0 unlimited delay=5", "0:fail@2/g", ""},
    {"an operator wants it anew", "count=1", "0:forc@2/g", "~0"},
    {"an operator wants it anew, before its time", "count=1 unlimited delay=50", "0:forc@2/g",
     "~0"},
    {"failed, of a job that is stopped", "count=1 unlimited delay=5 stop", "0:fail@2/g", ""},
    /* nodes that are not heard of */
    {"not heard of: another runs meanwhile", "count=1 lost=60", "0:run@2/l", "+0 ?0 @160"},
    {"not heard of, and nobody in its place", "count=1 lost=60 noreplace", "0:run@2/l", "?0 @160"},
    {"not heard of, and stops itself: nobody in its place yet", "count=1 ends=60", "0:run@2/l",
     "?0 @160"},
    {"it must have stopped itself by now", "count=1 ends=90", "0:away@2/l", "+0 x0"},
    {"not heard of for a while", "count=1 lost=95", "0:away@2/l 0:run@2/g", "@105"},
    {"not heard of for a while, nobody in its place", "count=1 lost=95 noreplace", "0:away@2/l",
     "@105"},
    {"not heard of for too long", "count=1 lost=90", "0:away@2/l 0:run@2/g", "x0"},
    {"this is the evaluation that it waits for", "count=1 ends=95 due", "0:away@2/l", "+0 x0"},
    {"not heard of for too long, nobody in its place", "count=1 lost=90 noreplace", "0:away@2/l",
     "+0 x0"},
    {"heard of again: it goes on", "count=1 lost=60 noreplace", "0:run@2/g", ""},
    {"heard of again: the older stays", "count=1 lost=60", "0:run@2/g 0:run@2/g", "-0"},
    {"its node is back, it has not spoken yet", "count=1 lost=60", "0:away@2/g 0:run@2/g", "-0"},
    {"not heard of, and fewer are wanted", "count=0 lost=60", "0:run@2/l", "?0 @160"},
    {"not heard of, of a stopped job", "count=1 lost=60 stop", "0:away@2/l", "x0"},
    {"pending on a node that is not heard of", "count=1 lost=60", "0:pend@2/l", "+0 x0"},
};

static long number_of(const char *job, const char *word, long otherwise)
{
    char key[32];
    snprintf(key, sizeof key, "%s=", word);
    const char *at = strstr(job, key);
    return at != NULL ? atol(at + strlen(key)) : otherwise;
}

static bool says(const char *job, const char *word)
{
    return strstr(job, word) != NULL;
}

static void set_update(struct arena *a, Pb__TaskGroup *g, const char *job)
{
    if (!says(job, "parallel="))
        return;
    Pb__UpdateStrategy *u = g->update = arena_array(a, Pb__UpdateStrategy, 1);
    pb__update_strategy__init(u);
    u->max_parallel = (uint32_t)number_of(job, "parallel", 0);
    u->canary = (uint32_t)number_of(job, "canary", 0);
    u->progress_deadline_ns = 600 * SECOND;
}

static void set_policies(struct arena *a, Pb__TaskGroup *g, const char *job)
{
    if (says(job, "unlimited") || says(job, "attempts")) {
        Pb__ReschedulePolicy *p = g->reschedule_policy = arena_array(a, Pb__ReschedulePolicy, 1);
        pb__reschedule_policy__init(p);
        p->unlimited = says(job, "unlimited");
        p->attempts = (uint32_t)number_of(job, "attempts", 0);
        p->interval_ns = number_of(job, "every", 0) * SECOND;
        p->delay_ns = number_of(job, "delay", 0) * SECOND;
        p->delay_function = arena_strdup(a, "constant");
    }
    g->has_stop_after_client_disconnect_ns = says(job, "ends=");
    g->stop_after_client_disconnect_ns = number_of(job, "ends", 0) * SECOND;
    if (says(job, "lost=")) {
        Pb__DisconnectStrategy *d = g->disconnect = arena_array(a, Pb__DisconnectStrategy, 1);
        pb__disconnect_strategy__init(d);
        d->lost_after_ns = number_of(job, "lost", 0) * SECOND;
        d->replace = !says(job, "noreplace");
        d->reconcile = arena_strdup(a, "keep_original");
    }
}

static void set_deployment(struct onejob *c, const char *job, Pb__DeploymentGroup *g,
                           Pb__Deployment *d)
{
    static const struct {
        const char *word;
        Pb__Deployment__Status status;
    } states[] = {
        {"d=r", PB__DEPLOYMENT__STATUS__RUNNING}, {"d=p", PB__DEPLOYMENT__STATUS__PAUSED},
        {"d=f", PB__DEPLOYMENT__STATUS__FAILED},  {"d=s", PB__DEPLOYMENT__STATUS__SUCCESSFUL},
        {"d=o", PB__DEPLOYMENT__STATUS__RUNNING},
    };
    static uint8_t id[16] = {0xd};
    pb__deployment__init(d);
    pb__deployment_group__init(g);
    d->has_id = 1;
    d->id = (ProtobufCBinaryData){sizeof id, id};
    g->name = c->view.job->task_groups[0]->name;
    g->desired_canaries = (uint32_t)number_of(job, "canary", 0);
    g->promoted = says(job, "promoted");
    d->job_create_index = c->view.job->create_index;
    d->job_version = says(job, "d=o") ? 1 : 2;
    d->n_task_groups = 1;
    d->task_groups = arena_array(c->arena, Pb__DeploymentGroup *, 1);
    d->task_groups[0] = g;
    for (size_t i = 0; i < COUNT_OF(states); i++)
        if (says(job, states[i].word)) {
            d->status = states[i].status;
            c->view.deployment = d;
        }
}

static void set_state(Pb__Alloc *x, const char *what)
{
    static const struct {
        const char *what;
        Pb__Alloc__ClientStatus status;
    } states[] = {
        {"run", PB__ALLOC__CLIENT_STATUS__RUNNING},
        {"pend", PB__ALLOC__CLIENT_STATUS__PENDING},
        {"fail", PB__ALLOC__CLIENT_STATUS__FAILED},
        {"forc", PB__ALLOC__CLIENT_STATUS__FAILED},
        {"lost", PB__ALLOC__CLIENT_STATUS__LOST},
        {"done", PB__ALLOC__CLIENT_STATUS__COMPLETE},
        {"away", PB__ALLOC__CLIENT_STATUS__UNREACHABLE},
    };
    for (size_t i = 0; i < COUNT_OF(states); i++)
        if (strcmp(states[i].what, what) == 0)
            x->client_status = states[i].status;
    x->migrate = strcmp(what, "move") == 0;
    x->stop_wanted = strcmp(what, "halt") == 0;
    x->reschedule = strcmp(what, "forc") == 0;
    x->ended_at = 90 * SECOND;
    x->unreachable_since = 10 * SECOND;
}

static void set_health(struct arena *a, Pb__Alloc *x, const Pb__Deployment *d, const char *text)
{
    if (*text != '?' && *text != '+' && *text != '!')
        return;
    x->has_deployment_id = 1;
    x->deployment_id = d->id;
    Pb__DeploymentStatus *s = x->deployment_status = arena_array(a, Pb__DeploymentStatus, 1);
    pb__deployment_status__init(s);
    s->has_healthy = *text != '?';
    s->healthy = *text == '+';
    s->canary = text[1] == 'c';
}

static void add_allocs(struct onejob *c, const Pb__Deployment *d, const char *text)
{
    unsigned index, version;
    char what[8], node;
    int used;
    for (; sscanf(text, " %u:%4[a-z]@%u/%c%n", &index, what, &version, &node, &used) == 4;) {
        Pb__Alloc *x = onejob_add_alloc(c, "g", index, onejob_add_node(c, 1, 1, 1));
        x->job_version = version;
        x->client_description = arena_printf(c->arena, "%c", node);
        set_state(x, what);
        set_health(c->arena, x, d, text += used);
        text += strcspn(text, " ");
    }
}

static enum node_state on_node_state(void *owner, const Pb__Alloc *alloc, size_t group)
{
    return alloc->client_description[0] == 'l' ? NODE_LOST : NODE_GOOD;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void add_sorted(struct strbuf *b, char all[][24], size_t n)
{
    qsort(all, n, sizeof(all[0]), compare_texts);
    for (size_t i = 0; i < n; i++)
        strbuf_printf(b, "%s%s", b->len > 0 ? " " : "", all[i]);
}

static char kind_of(const struct wanted *w)
{
    return w->older != NULL ? 'o' : w->canary ? '*' : w->replaces ? '~' : '+';
}

static const char *describe(struct arena *a, const struct changes *ch)
{
    const struct group_changes *g = &ch->groups[0];
    struct strbuf b = STRBUF_INIT;
    char all[100][24];
    strbuf_printf(&b, "%s", ch->deployment != NULL ? "D" : "");
    strbuf_printf(&b, "%s%s", b.len > 0 && ch->deployment_update != NULL ? " " : "",
                  ch->deployment_update != NULL ? "C" : "");
    for (const char *kind = "+o*~"; *kind != '\0'; kind++) {
        size_t n = 0;
        for (size_t i = 0; i < g->wanted_count; i++)
            if (kind_of(&g->wanted[i]) == *kind)
                snprintf(all[n++], 24, "%c%u", *kind, g->wanted[i].name_index);
        for (size_t i = 0; i < g->older_count; i++)
            if (kind_of(&g->older[i]) == *kind)
                snprintf(all[n++], 24, "%c%u", *kind, g->older[i].name_index);
        add_sorted(&b, all, n);
    }
    size_t n = 0;
    for (size_t i = 0; i < ch->in_place_count; i++)
        snprintf(all[n++], 24, "=%u", ch->in_place[i]->name_index);
    add_sorted(&b, all, n);
    for (int lost = 0; lost < 2; lost++) {
        n = 0;
        for (size_t i = 0; i < ch->stop_count; i++)
            if (ch->stops[i].lost == lost)
                snprintf(all[n++], 24, "%c%u", lost ? 'x' : '-', ch->stops[i].alloc->name_index);
        add_sorted(&b, all, n);
    }
    n = 0;
    for (size_t i = 0; i < ch->unreachable_count; i++)
        snprintf(all[n++], 24, "?%u", ch->unreachable[i]->name_index);
    for (size_t i = 0; i < ch->awaiting_count; i++)
        if (i == 0 || ch->awaiting[i].at != ch->awaiting[i - 1].at)
            snprintf(all[n++], 24, "@%lld", (long long)ch->awaiting[i].at / SECOND);
    for (size_t i = 0; i < n; i++)
        strbuf_printf(&b, "%s%s", b.len > 0 ? " " : "", all[i]);
    char *text = arena_strdup(a, strbuf_text(&b));
    strbuf_free(&b);
    return text;
}

static void set_job(struct onejob *c, const char *words)
{
    onejob_set_job(c, "service", 1, 10, 10);
    for (int version = 1; version <= 2; version++)
        onejob_next_version(c);
    Pb__Job *now = c->view.job;
    Pb__TaskGroup *g = now->task_groups[0];
    g->count = (uint32_t)number_of(words, "count", 1);
    now->stop = says(words, "stop");
    set_update(c->arena, g, words);
    set_policies(c->arena, g, words);
    if (!says(words, "same"))
        g->tasks[0]->user = arena_strdup(c->arena, "another");
}

Test(rollout, does_what_the_table_says)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct onejob c;
        Pb__Deployment d;
        Pb__DeploymentGroup g;
        struct changes ch;
        onejob_init(&c);
        set_job(&c, cases[i].job);
        set_deployment(&c, cases[i].job, &g, &d);
        add_allocs(&c, &d, cases[i].allocs);
        static uint8_t eval_id[16] = {0xe};
        struct occasion at = {.now = number_of(cases[i].job, "now", 100) * SECOND,
                              .eval_id = eval_id};
        for (size_t k = 0; k < c.view.n_allocs && says(cases[i].job, "due"); k++)
            c.view.allocs[k]->follow_up_eval = (ProtobufCBinaryData){sizeof eval_id, eval_id};
        reconcile(c.arena, &c.view, &at, on_node_state, NULL, &ch);
        cr_expect_str_eq(describe(c.arena, &ch), cases[i].expect, "%s: %s, not %s", cases[i].name,
                         describe(c.arena, &ch), cases[i].expect);
        onejob_fini(&c);
    }
}

/* ---- */

/* Which of two goes where the first was away and the second took its place: 0 or 1. A score of 0:
 * not known. */
static int who_goes(const char *reconcile_by, double first, double second)
{
    struct onejob c;
    struct changes ch;
    onejob_init(&c);
    set_job(&c, "count=1 lost=60");
    c.view.job->task_groups[0]->disconnect->reconcile =
        reconcile_by != NULL ? arena_strdup(c.arena, reconcile_by) : NULL;
    add_allocs(&c, NULL, "0:run@2/g 0:run@2/g");
    Pb__Alloc *const *both = c.view.allocs;
    both[0]->has_next_alloc = 1;
    both[0]->next_alloc = both[1]->id;
    both[0]->has_score = first != 0;
    both[0]->score = first;
    both[1]->has_score = second != 0;
    both[1]->score = second;
    reconcile(c.arena, &c.view, NULL, on_node_state, NULL, &ch);
    cr_assert_eq(ch.stop_count, 1);
    int which = ch.stops[0].alloc == both[0] ? 0 : 1;
    onejob_fini(&c);
    return which;
}

Test(rollout, of_one_that_is_heard_of_again_and_its_replacement_one_goes_as_the_group_says)
{
    static const struct {
        const char *by;
        double first, second;
        int goes;
    } rows[] = {
        {"keep_replacement", 0.9, 0.1, 0}, {"keep_original", 0.1, 0.9, 1},
        {"longest_running", 0.1, 0.9, 1},  {"best_score", 0.9, 0.1, 1},
        {"best_score", 0.1, 0.9, 0},       {"best_score", -0.5, -0.2, 0},
        {"best_score", 0.5, 0.5, 1},       {"best_score", 0, 0.9, 1},
        {"best_score", 0.1, 0, 1},         {NULL, 0.1, 0.9, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_assert_eq(who_goes(rows[i].by, rows[i].first, rows[i].second), rows[i].goes, "row %zu",
                     i);
}

Test(rollout, a_score_is_kept_where_it_may_be_asked_for)
{
    for (int i = 0; i < 2; i++) {
        struct onejob c;
        onejob_init(&c);
        onejob_add_node(&c, 1000, 1000, 1000);
        Pb__TaskGroup *g = onejob_set_job(&c, "service", 1, 100, 100)->task_groups[0];
        if (i == 1) {
            g->disconnect = arena_array(c.arena, Pb__DisconnectStrategy, 1);
            pb__disconnect_strategy__init(g->disconnect);
        }
        const Pb__Placement *at = onejob_plan(&c, c.arena)->placements[0];
        cr_assert_eq(at->has_score, i);
        cr_assert(i == 0 || (at->score > 0 && at->score <= 1), "%g", at->score);
        onejob_fini(&c);
    }
}

Test(rollout, the_deployment_says_what_is_wanted)
{
    struct onejob c;
    struct changes ch;
    onejob_init(&c);
    set_job(&c, "count=3 parallel=1 canary=2");
    add_allocs(&c, NULL, "0:run@1/g 1:run@1/g 2:run@1/g");
    reconcile(c.arena, &c.view, NULL, on_node_state, NULL, &ch);
    cr_assert_not_null(ch.deployment);
    const Pb__DeploymentGroup *g = ch.deployment->task_groups[0];
    cr_assert_eq(g->desired_total, 3);
    cr_assert_eq(g->desired_canaries, 2);
    cr_assert_eq(g->progress_deadline_ns, 600 * SECOND);
    cr_assert_str_eq(ch.deployment->status_description,
                     "Deployment is running but requires manual promotion");
    cr_assert(ch.groups[0].deployed);
    onejob_fini(&c);
}
