#include "schedworker/asked.h"
#include "base/id.h"
#include "sched/question.h"
#include "schedworker/round.h"
#include "wire/wire.h"
#include <stdlib.h>

#define MOST_ASKED   64                  /* at once; more are refused */
#define ASKED_MS     10000               /* to find out what the answer needs */
#define ANSWER_CAP   ((size_t)512 << 20) /* of memory for one answer */
#define QUESTION_CAP ((size_t)256 << 20)

struct asked {
    struct link link;
    struct schedworker *worker;
    struct arena *arena; /* of question and views */
    const Pb__Question *question;
    const Pb__JobViews *views; /* NULL: not fetched yet */
    struct call *fetching;
    struct others *others;
    bool reading; /* others */
    struct timer timer;
};

static void free_asked(struct asked *k)
{
    timer_cancel(k->worker->loop, &k->timer);
    call_cancel(k->fetching);
    others_free(k->others);
    list_remove(&k->link);
    k->worker->asked_count--;
    arena_free(k->arena);
    free(k);
}

static void on_told(void *owner, const struct response *r)
{
    if (r->code != PB__REPLY__CODE__OK)
        log_debug("answer_lost", "reason=%s", log_quote(r->reason));
}

static void tell(struct schedworker *w, Pb__Answer *answer)
{
    Pb__Answers answers = PB__ANSWERS__INIT;
    answers.answers = &answer;
    answers.n_answers = 1;
    client_call(w->broker, &(struct call_options){.method = PB__EVALBROKER__METHOD__ANSWER,
                                                  .body = &answers.base,
                                                  .reply = &pb__empty__descriptor,
                                                  .budget_ms = CALL_MS,
                                                  .retry = true,
                                                  .done = on_told,
                                                  .owner = w});
}

static void refuse(struct schedworker *w, const Pb__Question *q, Pb__Reply__Code code,
                   const char *reason)
{
    Pb__Answer answer = PB__ANSWER__INIT;
    answer.has_id = answer.has_code = 1;
    answer.id = q->id;
    answer.code = code;
    answer.reason = (char *)(uintptr_t)reason;
    tell(w, &answer);
}

static void go_on(struct asked *k);

static void on_others(void *owner, bool ok)
{
    struct asked *k = owner;
    k->reading = false;
    if (ok) {
        go_on(k);
        return;
    }
    refuse(k->worker, k->question, PB__REPLY__CODE__UNAVAILABLE,
           "what might be displaced could not be read");
    free_asked(k);
}

/* Takes k, unless what might be displaced is to be read first. */
static void answer(struct asked *k)
{
    struct schedworker *w = k->worker;
    struct arena *a = arena_new(ANSWER_CAP);
    Pb__JobView none = PB__JOB_VIEW__INIT;
    const Pb__JobView *view = k->views->n_jobs > 0 ? k->views->jobs[0] : &none;
    const Pb__Job *job = k->question->job != NULL ? k->question->job : view->job;
    struct sched_options o = others_options(&k->others, k->views->scheduler, job);
    Pb__Answer *x = sched_answer(a, w->fleet, view, k->views->index, k->question, &o);
    bool more = x->plan != NULL && x->plan->n_failed_groups > 0 && others_wanted(k->others);
    if (!more)
        tell(w, x);
    arena_free(a);
    if (more) {
        k->reading = true;
        others_read(k->others, w, on_others, k);
        return;
    }
    metric_add(&w->metrics[SCHEDWORKER_ANSWERS], 1);
    free_asked(k);
}

static void on_views(void *owner, const struct response *r)
{
    struct asked *k = owner;
    k->fetching = NULL;
    if (r->code != PB__REPLY__CODE__OK || r->body == NULL) {
        refuse(k->worker, k->question, PB__REPLY__CODE__UNAVAILABLE, "the job could not be read");
        free_asked(k);
        return;
    }
    k->views = (const Pb__JobViews *)wire_clone(k->arena, r->body);
    go_on(k);
}

static void fetch(struct asked *k)
{
    Pb__JobKey key = PB__JOB_KEY__INIT, *keys = &key;
    Pb__JobViewsRequest q = PB__JOB_VIEWS_REQUEST__INIT;
    key.namespace_ = k->question->namespace_;
    key.id = k->question->job_id;
    q.jobs = &keys;
    q.n_jobs = 1;
    q.has_min_index = 1;
    q.min_index = k->question->min_index;
    k->fetching = client_call(k->worker->store,
                              &(struct call_options){.method = PB__JOBSTORE__METHOD__JOB_VIEWS,
                                                     .body = &q.base,
                                                     .reply = &pb__job_views__descriptor,
                                                     .budget_ms = ASKED_MS,
                                                     .retry = true,
                                                     .done = on_views,
                                                     .owner = k});
}

/* Takes k, when all is there. */
static void go_on(struct asked *k)
{
    struct schedworker *w = k->worker;
    if (k->reading)
        return;
    uint64_t wanted = k->views != NULL ? k->views->index : k->question->min_index;
    if (fleet_index(w->fleet) < wanted || fleet_index(w->fleet) == 0)
        feed_reach(w->feed, wanted > 0 ? wanted : 1);
    else if (k->views != NULL)
        answer(k);
    else if (k->fetching == NULL)
        fetch(k);
}

static void on_late(void *owner)
{
    struct asked *k = owner;
    refuse(k->worker, k->question, PB__REPLY__CODE__UNAVAILABLE,
           "the scheduler's view of the nodes is behind: try again");
    free_asked(k);
}

/* From what was kept: there is nothing to wait for. */
static void answer_again(struct schedworker *w, const Pb__Question *q)
{
    struct history_plan p;
    struct arena *a = arena_new(ANSWER_CAP);
    if (q->eval_id.len != ID_SIZE || !history_find(w->history, a, q->eval_id.data, &p)) {
        refuse(
            w, q, PB__REPLY__CODE__NOT_FOUND,
            "no scheduler has kept what the evaluation was planned on: each keeps its last plans "
            "(replay_plans) until it is stopped");
        arena_free(a);
        return;
    }
    Pb__Answer *x = sched_answer_again(a, p.fleet, p.inputs.view, p.inputs.eval, p.inputs.seed,
                                       p.inputs.options, p.plan);
    x->has_id = x->has_plans = 1;
    x->id = q->id;
    x->plans = p.count;
    tell(w, x);
    fleet_free(p.fleet);
    arena_free(a);
    metric_add(&w->metrics[SCHEDWORKER_ANSWERS], 1);
}

void asked_take(struct schedworker *w, const Pb__Question *q)
{
    if (q->id.len != ID_SIZE || q->job_id == NULL)
        return;
    if (q->kind == PB__QUESTION__KIND__REPLAY) {
        answer_again(w, q);
        return;
    }
    if (w->asked_count >= MOST_ASKED) {
        refuse(w, q, PB__REPLY__CODE__BUSY, "the scheduler has too many questions: try again");
        return;
    }
    struct asked *k = xcalloc(1, sizeof(*k));
    k->worker = w;
    k->arena = arena_new(QUESTION_CAP);
    k->question = (const Pb__Question *)wire_clone(k->arena, &q->base);
    list_push_back(&w->asked, &k->link);
    w->asked_count++;
    timer_arm(w->loop, &k->timer, ASKED_MS, on_late, k);
    go_on(k);
}

void asked_synced(struct schedworker *w)
{
    struct asked *k;
    list_each(&w->asked, struct asked, link, k) go_on(k);
}

void asked_drop_all(struct schedworker *w)
{
    struct asked *k;
    list_each(&w->asked, struct asked, link, k)
    {
        k->fetching = NULL; /* it went with its client, and so did what is being read */
        others_drop(k->others);
        k->others = NULL;
        free_asked(k);
    }
}
