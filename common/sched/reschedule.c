#include "sched/reschedule.h"
#include "base/id.h"
#include <string.h>

#define PAST_EVENTS 5 /* that are remembered where attempts are not counted */

static int64_t ended_at(const Pb__Alloc *failed)
{
    return failed->ended_at != 0 ? failed->ended_at : failed->modify_time;
}

static size_t past_count(const Pb__Alloc *alloc)
{
    return alloc->reschedule_tracker != NULL ? alloc->reschedule_tracker->n_events : 0;
}

/* The i-th before the present one. */
static const Pb__RescheduleEvent *past(const Pb__Alloc *alloc, size_t i)
{
    return alloc->reschedule_tracker->events[past_count(alloc) - 1 - i];
}

static bool attempts_are_left(const Pb__ReschedulePolicy *p, const Pb__Alloc *failed)
{
    if (p->unlimited)
        return true;
    uint32_t made = 0;
    for (size_t i = 0; i < past_count(failed); i++)
        made += past(failed, i)->reschedule_time > ended_at(failed) - p->interval_ns;
    return made < p->attempts;
}

/* A series of failures begins anew when one has run for longer than the longest delay. */
static int64_t next_delay(const Pb__ReschedulePolicy *p, const Pb__Alloc *failed)
{
    const char *function = p->delay_function != NULL ? p->delay_function : "";
    size_t n = past_count(failed);
    int64_t most = p->max_delay_ns > 0 ? p->max_delay_ns : INT64_MAX / 4;
    bool constant = strcmp(function, "exponential") != 0 && strcmp(function, "fibonacci") != 0;
    if (constant || n == 0 || ended_at(failed) - past(failed, 0)->reschedule_time > most)
        return p->delay_ns;
    int64_t last = past(failed, 0)->delay_ns, before = 0;
    if (function[0] == 'e')
        before = last;
    else if (n > 1)
        before = past(failed, 1)->delay_ns;
    return last < most - before ? last + before : most;
}

struct rescheduling reschedule_of(const Pb__ReschedulePolicy *policy, const Pb__Alloc *failed,
                                  int64_t now, const uint8_t *eval_id)
{
    struct rescheduling r = {.when = RESCHEDULE_NEVER, .at = now};
    if (failed->next_alloc.len > 0)
        return r;
    if (policy != NULL && attempts_are_left(policy, failed)) {
        r.delay = next_delay(policy, failed);
        r.at = ended_at(failed) + r.delay;
        bool awaited = eval_id != NULL && failed->follow_up_eval.len == ID_SIZE &&
                       id_equal(failed->follow_up_eval.data, eval_id);
        r.when = awaited || now >= r.at ? RESCHEDULE_NOW : RESCHEDULE_LATER;
    }
    if (failed->reschedule)
        r.when = RESCHEDULE_NOW;
    return r;
}

Pb__RescheduleTracker *reschedule_remember(struct arena *a, const Pb__ReschedulePolicy *policy,
                                           const Pb__Alloc *failed, int64_t now, int64_t delay)
{
    Pb__RescheduleTracker *t = arena_array(a, Pb__RescheduleTracker, 1);
    pb__reschedule_tracker__init(t);
    size_t n = past_count(failed), first = 0;
    bool counted = policy != NULL && !policy->unlimited;
    if (!counted && n > PAST_EVENTS - 1)
        first = n - (PAST_EVENTS - 1);
    t->events = arena_array(a, Pb__RescheduleEvent *, n + 1);
    for (size_t i = first; i < n; i++) {
        Pb__RescheduleEvent *e = failed->reschedule_tracker->events[i];
        if (!counted || e->reschedule_time > now - policy->interval_ns)
            t->events[t->n_events++] = e;
    }
    Pb__RescheduleEvent *e = arena_array(a, Pb__RescheduleEvent, 1);
    pb__reschedule_event__init(e);
    e->has_reschedule_time = e->has_prev_alloc_id = e->has_prev_node_id = e->has_delay_ns = 1;
    e->reschedule_time = now;
    e->prev_alloc_id = failed->id;
    e->prev_node_id = failed->node_id;
    e->delay_ns = delay;
    t->events[t->n_events++] = e;
    return t;
}
