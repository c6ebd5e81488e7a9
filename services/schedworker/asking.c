/* Evaluations in hand, and evalbroker: asking for work, and telling what became of the last. */
#include "schedworker/asked.h"
#include "schedworker/round.h"
#include "wire/wire.h"
#include <stdlib.h>
#include <string.h>

/* A broker that stops as we do does not answer; what it was to hear is in the state. */
#define LAST_WORD_MS 300

/* ---- evaluations in hand */

void work_set_eval(struct work *k, const Pb__Eval *eval)
{
    struct arena *a = arena_new(1 << 24);
    Pb__Eval *copy = (Pb__Eval *)wire_clone(a, &eval->base);
    arena_free(k->arena);
    k->arena = a;
    k->eval = copy;
    if (eval->modify_index > k->min_index)
        k->min_index = eval->modify_index;
}

void work_release(struct work *k)
{
    fleet_release(k->worker->fleet, k->hold);
    history_release(k->worker->history, k->plan_number);
    k->hold = NULL;
    k->plan_number = 0;
}

void work_free(struct work *k)
{
    struct schedworker *w = k->worker;
    list_remove(&k->link);
    w->work_count--;
    work_release(k);
    others_free(k->others);
    arena_free(k->arena);
    free(k);
}

void work_end(struct work *k, bool ack, uint64_t index)
{
    struct schedworker *w = k->worker;
    struct ending *e = xcalloc(1, sizeof(*e));
    memcpy(e->eval_id, k->eval->id.data, ID_SIZE);
    e->token = k->token;
    e->index = index;
    e->ack = ack;
    list_push_back(&w->ended, &e->link);
    metric_add(&w->metrics[ack ? SCHEDWORKER_EVALS : SCHEDWORKER_GIVEN_BACK], 1);
    if (!ack)
        log_warn("eval_given_back", "eval=%s job=%s attempts=%u", log_id(k->eval->id.data),
                 log_quote(k->eval->job_id), k->attempts);
    work_free(k);
}

void work_give_all_back(struct schedworker *w)
{
    struct work *k;
    list_each(&w->works, struct work, link, k) work_end(k, false, 0);
}

void work_attempt_failed(struct work *k)
{
    metric_add(&k->worker->metrics[SCHEDWORKER_REPLANNED], 1);
    if (++k->attempts >= k->worker->max_attempts)
        work_end(k, false, 0);
}

/* ---- asking for work */

static void take_delivery(struct schedworker *w, const Pb__Delivery *d)
{
    if (d->eval == NULL || d->eval->id.len != ID_SIZE || d->eval->job_id == NULL)
        return;
    struct work *k = xcalloc(1, sizeof(*k));
    k->worker = w;
    k->token = d->token;
    k->min_index = d->min_index;
    work_set_eval(k, d->eval);
    list_push_back(&w->works, &k->link);
    w->work_count++;
}

static void forget_told(struct schedworker *w, bool received)
{
    struct ending *e;
    list_each(&w->ended, struct ending, link, e)
    {
        if (e->told && received) {
            list_remove(&e->link);
            free(e);
        } else {
            e->told = false;
        }
    }
}

static void finish_drain(struct schedworker *w)
{
    w->phase = PHASE_IDLE;
    if (w->drained != NULL) {
        void (*drained)(void *) = w->drained;
        w->drained = NULL;
        drained(w->drained_arg);
    }
}

static void on_deliveries(void *self, const struct response *r)
{
    struct schedworker *w = self;
    w->call = NULL;
    bool ok = r->code == PB__REPLY__CODE__OK;
    forget_told(w, ok);
    const Pb__Deliveries *d = (const Pb__Deliveries *)r->body;
    for (size_t i = 0; ok && d != NULL && i < d->n_deliveries; i++)
        take_delivery(w, d->deliveries[i]);
    for (size_t i = 0; ok && d != NULL && i < d->n_questions; i++)
        asked_take(w, d->questions[i]);
    if (w->draining && list_empty(&w->works)) {
        finish_drain(w);
    } else if (ok || !list_empty(&w->works)) {
        round_go_on(w, list_empty(&w->works) ? PHASE_ASKING : PHASE_VIEWING);
    } else {
        if (r->code != PB__REPLY__CODE__TIMEOUT)
            log_debug("evalbroker_silent", "reason=%s", log_quote(r->reason));
        round_pause(w);
    }
}

static size_t list_endings(struct schedworker *w, struct arena *a, bool ack, Pb__Ack ***out)
{
    size_t count = 0, n = 0;
    struct ending *e;
    list_each(&w->ended, struct ending, link, e) count += e->ack == ack;
    *out = arena_array(a, Pb__Ack *, count + 1);
    list_each(&w->ended, struct ending, link, e)
    {
        if (e->ack != ack)
            continue;
        Pb__Ack *x = arena_array(a, Pb__Ack, 1);
        pb__ack__init(x);
        x->has_eval_id = x->has_token = x->has_index = 1;
        x->eval_id = wire_id(a, e->eval_id);
        x->token = e->token;
        x->index = e->index;
        (*out)[n++] = x;
        e->told = true;
    }
    return n;
}

void asking_start(struct schedworker *w)
{
    if (w->draining)
        work_give_all_back(w);
    if (w->draining && list_empty(&w->ended)) {
        finish_drain(w); /* nothing to tell; the broker may be stopping too and would not answer */
        return;
    }
    struct arena *a = arena_new(1 << 24);
    Pb__Dequeue d = PB__DEQUEUE__INIT;
    d.types = w->type_names;
    d.n_types = w->type_count;
    d.n_acks = list_endings(w, a, true, &d.acks);
    d.n_nacks = list_endings(w, a, false, &d.nacks);
    d.has_max = d.has_wait_ms = 1;
    d.max = w->draining ? 0 : (uint32_t)(w->batch - w->work_count);
    /* Those in hand must not wait for others to come. */
    d.wait_ms = w->draining || w->work_count > 0 ? 0 : (uint32_t)w->wait_ms;
    w->phase = PHASE_ASKING;
    w->call = client_call(w->broker, &(struct call_options){
                                         .method = PB__EVALBROKER__METHOD__DEQUEUE,
                                         .body = &d.base,
                                         .reply = &pb__deliveries__descriptor,
                                         .budget_ms = w->draining ? LAST_WORD_MS : d.wait_ms + 5000,
                                         .retry = true,
                                         .done = on_deliveries,
                                         .owner = w,
                                     });
    arena_free(a);
}

void asking_cancel(struct schedworker *w)
{
    call_cancel(w->call);
    w->call = NULL;
    forget_told(w, false);
}
