/* What becomes of the evaluation: complete, blocked, or open for another plan. */
#include "sched/planner.h"
#include "sched/rows.h"
#include <stdlib.h>
#include <string.h>

static bool any_kind_of_class_suits(const struct planner *p, const char *class)
{
    const struct fleet *f = p->fleet;
    for (size_t g = 0; g < p->job->n_task_groups; g++) {
        if (p->failed_of_group[g] == 0)
            continue;
        for (uint32_t i = 0; i < f->kind_count; i++)
            if (f->kinds[i].nodes > 0 && strcmp(f->kinds[i].computed_class, class) == 0 &&
                !p->feasible[g].elsewhere[i] && p->feasible[g].verdicts[i] == NULL)
                return true;
    }
    return false;
}

static bool class_is_listed(const Pb__Plan *plan, const char *class)
{
    for (size_t i = 0; i < plan->n_classes; i++)
        if (strcmp(plan->classes[i]->class_, class) == 0)
            return true;
    return false;
}

static int compare_classes(const void *a, const void *b)
{
    return strcmp((*(Pb__ClassEligible *const *)a)->class_,
                  (*(Pb__ClassEligible *const *)b)->class_);
}

static void list_classes(struct planner *p)
{
    const struct fleet *f = p->fleet;
    Pb__Plan *plan = p->plan;
    plan->classes = arena_array(p->arena, Pb__ClassEligible *, f->kind_count + 1);
    for (uint32_t i = 0; i < f->kind_count; i++) {
        const char *class = f->kinds[i].computed_class;
        if (f->kinds[i].nodes == 0 || class[0] == '\0' || class_is_listed(plan, class))
            continue;
        Pb__ClassEligible *c = arena_array(p->arena, Pb__ClassEligible, 1);
        pb__class_eligible__init(c);
        c->class_ = arena_strdup(p->arena, class);
        c->has_eligible = 1;
        c->eligible = any_kind_of_class_suits(p, class);
        plan->classes[plan->n_classes++] = c;
    }
    qsort(plan->classes, plan->n_classes, sizeof(*plan->classes), compare_classes);
    plan->has_escaped_class = 1;
    for (size_t g = 0; g < p->job->n_task_groups; g++)
        if (p->failed_of_group[g] > 0 && p->feasible[g].unique_count > 0)
            plan->escaped_class = 1;
}

static void list_queued(struct planner *p)
{
    Pb__Plan *plan = p->plan;
    size_t groups = p->job != NULL ? p->job->n_task_groups : 0;
    plan->queued = arena_array(p->arena, Pb__CountOf *, groups + 1);
    for (size_t i = 0; i < groups; i++) {
        Pb__CountOf *c = arena_array(p->arena, Pb__CountOf, 1);
        pb__count_of__init(c);
        c->name = p->job->task_groups[i]->name;
        c->has_count = 1;
        c->count = p->failed_of_group[i];
        plan->queued[plan->n_queued++] = c;
    }
}

void planner_conclude(struct planner *p)
{
    Pb__Plan *plan = p->plan;
    if (p->more)
        return;
    list_queued(p);
    plan->has_status = 1;
    plan->status = PB__EVAL__STATUS__COMPLETE;
    if (p->failed == 0)
        return;
    list_classes(p);
    if (p->eval->status == PB__EVAL__STATUS__BLOCKED) {
        plan->status = PB__EVAL__STATUS__BLOCKED;
        plan->status_description = arena_strdup(p->arena, DESCRIBE_BLOCKED);
    } else {
        plan->has_create_blocked = 1;
        plan->create_blocked = 1;
    }
}
