#include "questions.h"
#include "base/id.h"
#include <string.h>

#define ANSWER_MARGIN_MS                                                                           \
    300 /* an answer must yet travel: so long before the end it is given up                        \
         */

#define OTHERS_MS  2000 /* for another worker to come and be asked */
#define MOST_ASKED 64   /* workers, of a past evaluation */

/* Lives in its request's arena. */
struct question {
    struct link link;
    struct timer timer;
    struct evalbroker *broker;
    struct request *req;
    bool handed_out;
    uint32_t peer;                 /* to whom */
    uint32_t ignorant[MOST_ASKED]; /* those that know nothing of it */
    size_t ignorant_count;
    const char *reason; /* what the last of them said */
};

static const Pb__Question *body_of(const struct question *k)
{
    return (const Pb__Question *)request_body(k->req);
}

static const char *type_of(const struct question *k)
{
    return body_of(k)->type;
}

static void forget(struct question *k)
{
    timer_cancel(k->broker->loop, &k->timer);
    list_remove(&k->link);
    k->broker->question_count--;
}

static void on_time_over(void *owner)
{
    struct question *k = owner;
    forget(k);
    if (k->ignorant_count > 0)
        request_fail(k->req, PB__REPLY__CODE__NOT_FOUND, "%s", k->reason);
    else if (k->handed_out)
        request_fail(k->req, PB__REPLY__CODE__TIMEOUT, "the scheduler did not answer in time");
    else
        request_fail(k->req, PB__REPLY__CODE__UNAVAILABLE,
                     "no scheduler of type \"%s\" is there to be asked: is a schedworker running?",
                     type_of(k));
}

static void on_asker_gone(void *owner, struct request *req)
{
    forget(owner);
}

void questions_on_ask(void *self, struct request *req)
{
    struct evalbroker *eb = self;
    const Pb__Question *q = (const Pb__Question *)request_body(req);
    if (eb->passive) {
        evalbroker_refuse_passive(req);
        return;
    }
    if (q->type == NULL || q->job_id == NULL) {
        request_fail(req, PB__REPLY__CODE__INVALID, "a question needs a type and a job_id");
        return;
    }
    if (eb->question_count >= MAX_QUESTIONS) {
        request_fail(req, PB__REPLY__CODE__BUSY, "%d questions are open: try again later",
                     MAX_QUESTIONS);
        return;
    }
    struct question *k = arena_array(request_arena(req), struct question, 1);
    *k = (struct question){.broker = eb, .req = req};
    uint64_t at = loop_now_ms(eb->loop), end = request_deadline_ms(req);
    uint64_t left = end > at + ANSWER_MARGIN_MS ? end - at - ANSWER_MARGIN_MS : 1;
    list_push_back(&eb->questions, &k->link);
    eb->question_count++;
    timer_arm(eb->loop, &k->timer, left, on_time_over, k);
    request_park(req, on_asker_gone, k);
    evalbroker_mark(eb);
}

static bool serves(char *const *types, size_t count, const char *type)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(types[i], type) == 0)
            return true;
    return false;
}

static bool was_asked(const struct question *k, uint32_t peer)
{
    for (size_t i = 0; i < k->ignorant_count; i++)
        if (k->ignorant[i] == peer)
            return true;
    return false;
}

bool questions_wait(const struct evalbroker *eb, char *const *types, size_t type_count,
                    uint32_t peer)
{
    struct question *k;
    list_each(&eb->questions, struct question, link, k)
    {
        if (!k->handed_out && serves(types, type_count, type_of(k)) && !was_asked(k, peer))
            return true;
    }
    return false;
}

void questions_hand_out(struct evalbroker *eb, const Pb__Dequeue *ask, uint32_t peer,
                        struct arena *a, Pb__Deliveries *out)
{
    if (eb->question_count == 0)
        return;
    out->questions = arena_array(a, Pb__Question *, eb->question_count);
    struct question *k;
    list_each(&eb->questions, struct question, link, k)
    {
        if (k->handed_out || !serves(ask->types, ask->n_types, type_of(k)) || was_asked(k, peer))
            continue;
        Pb__Question *q = arena_copy(a, body_of(k), sizeof(*q));
        q->has_id = 1;
        q->id = (ProtobufCBinaryData){ID_SIZE, (uint8_t *)(uintptr_t)request_id(k->req)};
        /* What this broker has seen, whoever asks may have seen too. */
        uint64_t seen = eb->feed != NULL ? feed_index(eb->feed) : 0;
        q->has_min_index = 1;
        q->min_index = q->min_index > seen ? q->min_index : seen;
        out->questions[out->n_questions++] = q;
        k->handed_out = true;
        k->peer = peer;
    }
}

static const Pb__Answer *find_answer(const Pb__Answers *all, const uint8_t *id)
{
    for (size_t i = 0; i < all->n_answers; i++)
        if (all->answers[i]->id.len == ID_SIZE && id_equal(all->answers[i]->id.data, id))
            return all->answers[i];
    return NULL;
}

/* Takes k. */
static void pass_on(struct question *k, const Pb__Answer *answer)
{
    struct request *req = k->req;
    forget(k);
    if (answer->code != PB__REPLY__CODE__OK)
        request_fail(req, answer->code, "%s", answer->reason != NULL ? answer->reason : "");
    else
        request_reply(req, &answer->base, answer->index);
}

/* Another worker may have planned it. */
static bool ask_another(struct question *k, const Pb__Answer *answer)
{
    if (body_of(k)->kind != PB__QUESTION__KIND__REPLAY ||
        answer->code != PB__REPLY__CODE__NOT_FOUND || k->ignorant_count == MOST_ASKED)
        return false;
    k->reason = arena_strdup(request_arena(k->req), answer->reason != NULL ? answer->reason : "");
    k->ignorant[k->ignorant_count++] = k->peer;
    k->handed_out = false;
    timer_arm(k->broker->loop, &k->timer, OTHERS_MS, on_time_over, k);
    evalbroker_mark(k->broker);
    return true;
}

void questions_on_answer(void *self, struct request *req)
{
    struct evalbroker *eb = self;
    const Pb__Answers *answers = (const Pb__Answers *)request_body(req);
    struct question *k;
    list_each(&eb->questions, struct question, link, k)
    {
        const Pb__Answer *answer = find_answer(answers, request_id(k->req));
        if (answer != NULL && !ask_another(k, answer))
            pass_on(k, answer);
    }
    request_reply(req, NULL, 0);
}

void questions_peer_gone(struct evalbroker *eb, uint32_t peer)
{
    struct question *k;
    list_each(&eb->questions, struct question, link, k)
    {
        if (k->peer == peer)
            k->handed_out = false;
    }
}

void questions_fail_all(struct evalbroker *eb, void (*fail)(struct request *req))
{
    struct question *k;
    list_each(&eb->questions, struct question, link, k)
    {
        forget(k);
        fail(k->req);
    }
}

void questions_close(struct evalbroker *eb)
{
    struct question *k;
    list_each(&eb->questions, struct question, link, k) forget(k);
}
