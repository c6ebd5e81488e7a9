/* The agents' long polls: what each has not heard yet. */
#include "agents_parts.h"
#include <stdlib.h>
#include <string.h>

#define LONGEST_POLL_MS 60000u
#define SHORT_MS        5000u
#define AWAIT_MS        5000u
#define NEWS_ARENA      (64u << 20)
#define LIST_AGAIN_MS   200u
#define PORTION         16 /* of answers with news, in a millisecond */
#define AFTER_CLIENTS   10 /* ms that all but the first portion wait */

static void stop_awaiting(struct node *n)
{
    n->agents->awaiting -= n->awaits != 0;
    n->awaits = 0;
}

/* Takes the poll off the node. */
struct request *node_take_poll(struct node *n)
{
    struct request *req = n->poll;
    n->poll = NULL;
    stop_awaiting(n);
    timer_cancel(n->agents->loop, &n->wait_over);
    timer_cancel(n->agents->loop, &n->news_due);
    n->polled_ms = loop_now_ms(n->agents->loop);
    return req;
}

static void reply_news(struct node *n, Pb__NodeNews *news, uint64_t index)
{
    news->has_index = 1;
    news->index = index;
    request_reply(node_take_poll(n), &news->base, index);
}

/* Where the agent asks from once it has all that the box holds. */
static uint64_t index_reached(const struct node *n)
{
    return n->agents->feed_index > n->box.since ? n->agents->feed_index : n->box.since;
}

static bool has_job(const Pb__NodeNews *news, struct job_ref ref)
{
    for (size_t i = 0; i < news->n_jobs; i++)
        if (job_ref_equal(job_ref_of(news->jobs[i]), ref))
            return true;
    return false;
}

/* False: it is missing and being fetched. */
static bool add_job(struct node *n, struct arena *arena, Pb__NodeNews *news, struct job_ref ref)
{
    struct agents *a = n->agents;
    Pb__Job *job;
    if (has_job(news, ref))
        return true;
    if (!jobcache_get(a->jobs, ref, loop_now_ms(a->loop), arena, &job)) {
        node_fetch_job(n, ref);
        return false;
    }
    if (job != NULL)
        news->jobs[news->n_jobs++] = job;
    return true;
}

/* False: a job is missing and being fetched. */
static bool fill_allocs(struct node *n, struct arena *arena, Pb__NodeNews *news)
{
    bool complete = true;
    news->allocs = arena_array(arena, Pb__Alloc *, n->box.count + 1);
    news->jobs = arena_array(arena, Pb__Job *, n->box.count + 1);
    for (size_t i = 0; i < n->box.count; i++) {
        const struct outbox_entry *e = &n->box.entries[i];
        Pb__Alloc *alloc = WIRE_UNPACK(arena, Pb__Alloc, pb__alloc, e->packed, e->len);
        must(alloc != NULL);
        news->allocs[news->n_allocs++] = alloc;
        complete &= add_job(n, arena, news, alloc_job_ref(alloc));
    }
    return complete;
}

/* Answers the poll with what there is, or waits for the jobs that it needs. */
static void tell_news(struct node *n)
{
    struct agents *a = n->agents;
    struct arena *arena = arena_new(NEWS_ARENA);
    Pb__NodeNews news = PB__NODE_NEWS__INIT;
    if (fill_allocs(n, arena, &news)) {
        size_t count;
        news.has_full = 1;
        news.full = n->box.full;
        news.requests = asks_to_send(n, arena, &count);
        news.n_requests = count;
        a->stats.news++;
        reply_news(n, &news, index_reached(n));
    }
    arena_free(arena);
}

static void on_wait_over(void *owner)
{
    struct node *n = owner;
    const Pb__NodePoll *asked = (const Pb__NodePoll *)request_body(n->poll);
    Pb__NodeNews nothing = PB__NODE_NEWS__INIT;
    bool has_all = n->box.known && !n->listing && !outbox_has_news(&n->box);
    reply_news(n, &nothing, has_all ? index_reached(n) : asked->since);
}

static void list_node(struct node *n, const Pb__Key *after);

static void on_list_again(void *owner)
{
    node_poll_step(owner);
}

static void on_listed(void *owner, const struct response *r)
{
    struct node *n = owner;
    struct agents *a = n->agents;
    const Pb__Objects *objects = (const Pb__Objects *)r->body;
    n->list_call = NULL;
    n->listing = false;
    if (r->code != PB__REPLY__CODE__OK || objects == NULL) {
        outbox_lose(&n->box);
        timer_arm(a->loop, &n->news_due, LIST_AGAIN_MS, on_list_again, n);
        return;
    }
    for (size_t i = 0; i < objects->n_objects; i++)
        if (objects->objects[i]->value_case == PB__OBJECT__VALUE_ALLOC)
            outbox_put_listed(&n->box, objects->objects[i]->alloc);
    if (objects->next != NULL) {
        list_node(n, objects->next);
        return;
    }
    outbox_listed(&n->box);
    node_poll_step(n);
}

static void list_node(struct node *n, const Pb__Key *after)
{
    Pb__List list = PB__LIST__INIT;
    list.has_table = list.has_by = list.has_id = 1;
    list.table = PB__TABLE__NAME__ALLOCS;
    list.by = PB__LIST__BY__NODE;
    list.id = (ProtobufCBinaryData){.len = ID_SIZE, .data = n->id};
    list.after = (Pb__Key *)after;
    n->listing = true;
    n->list_call = client_call(n->agents->options.jobstore,
                               &(struct call_options){.method = PB__JOBSTORE__METHOD__LIST,
                                                      .body = &list.base,
                                                      .reply = &pb__objects__descriptor,
                                                      .budget_ms = SHORT_MS,
                                                      .retry = true,
                                                      .done = on_listed,
                                                      .owner = n});
}

/* Looks at a parked poll again: answers it, gets what it needs, or leaves it waiting. */
void node_poll_step(struct node *n)
{
    struct agents *a = n->agents;
    if (n->poll == NULL || a->feed_index == 0 || n->listing || n->jobs_pending > 0 ||
        n->awaits != 0)
        return;
    if (!n->box.known) {
        a->stats.relists++;
        outbox_begin(&n->box, a->feed_index);
        list_node(n, NULL);
    } else if (outbox_has_news(&n->box) || asks_are_waiting(n)) {
        tell_news(n);
    }
}

/* Thousands of nodes have news at once when a large plan was committed. Told in portions, after
 * those clients who wait for the same change, they do not keep anybody waiting. */
static void on_news_due(void *owner)
{
    struct node *n = owner;
    struct agents *a = n->agents;
    uint64_t now = loop_now_ms(a->loop);
    if (a->portion_ms != now) {
        a->portion_ms = now;
        a->portion = 0;
    }
    unsigned turns = a->portion++ / PORTION;
    if (turns == 0)
        node_poll_step(n);
    else
        timer_arm(a->loop, &n->news_due, AFTER_CLIENTS + turns, on_news_due, n);
}

void node_has_news(struct node *n, uint64_t delay_ms)
{
    if (n->poll != NULL && !timer_is_armed(&n->news_due))
        timer_arm(n->agents->loop, &n->news_due, delay_ms, on_news_due, n);
}

static void on_agent_gone(void *owner, struct request *req)
{
    struct node *n = owner;
    node_take_poll(n);
    n->polled_ms = 0;
    asks_lose_node(n);
}

/* Where the agent is tells what it has, or that it must be told everything. */
static void settle_poll(struct node *n)
{
    const Pb__NodePoll *p = (const Pb__NodePoll *)request_body(n->poll);
    stop_awaiting(n);
    if (!n->listing && !outbox_confirm(&n->box, p->since))
        outbox_lose(&n->box);
    node_poll_step(n);
}

/* Beside the leader there is nothing newer than what we have: the agent knows another cluster, and
 * is told everything of this one. */
static void on_await_over(void *owner)
{
    struct node *n = owner;
    if (n->poll == NULL || n->awaits == 0)
        return;
    if (leader_is_here(n->agents->options.leader))
        settle_poll(n);
    else
        request_fail(node_take_poll(n), PB__REPLY__CODE__UNAVAILABLE,
                     "this server is behind the one that the agent asked before");
}

/* An agent that comes from another server, or was just registered by the leader, may have heard of
 * more than we have. To tell it now all that it has would take the newest from it. */
static void await_feed(struct node *n, uint64_t needed)
{
    struct agents *a = n->agents;
    n->awaits = needed;
    a->awaiting++;
    timer_arm(a->loop, &n->news_due, AWAIT_MS, on_await_over, n);
    a->options.reach(a->options.self, needed);
}

void agents_settle_awaiting(struct agents *a)
{
    size_t i = 0;
    void *item;
    while (a->awaiting > 0 && map_next(a->nodes, &i, NULL, NULL, &item)) {
        struct node *n = item;
        if (n->awaits != 0 && n->awaits <= a->feed_index) {
            timer_cancel(a->loop, &n->news_due);
            settle_poll(n);
        }
    }
}

static void poll(struct node *n, struct request *req)
{
    struct agents *a = n->agents;
    const Pb__NodePoll *p = (const Pb__NodePoll *)request_body(req);
    node_saw(n);
    if (n->poll != NULL)
        on_wait_over(n); /* a newer poll takes the place of the older */
    n->poll = req;
    n->polled_ms = loop_now_ms(a->loop);
    request_park(req, on_agent_gone, n);
    timer_arm(a->loop, &n->wait_over, p->wait_ms < LONGEST_POLL_MS ? p->wait_ms : LONGEST_POLL_MS,
              on_wait_over, n);
    uint64_t needed = p->since > p->at_least ? p->since : p->at_least;
    if (needed > a->feed_index)
        await_feed(n, needed);
    else
        settle_poll(n);
}

void on_poll(void *self, struct request *req)
{
    const Pb__NodePoll *p = (const Pb__NodePoll *)request_body(req);
    agents_admit(self, req, SPEAKER(p), poll);
}
