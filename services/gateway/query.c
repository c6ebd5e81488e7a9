#include "query.h"
#include "answer.h"
#include "feeds.h"
#include "leader.h"
#include "wire/json.h"
#include "wire/wire.h"
#include <string.h>

#define READING_ARENA     (256u << 20) /* a cap */
#define READ_AGAIN_MS     20u /* between two readings of one query, however fast state changes */
#define STREAM_ROOM       (256u << 10)
#define OBJECTS_OF_A_PAGE 500u

static void end(struct query *q)
{
    watchers_remove(q->gateway->watchers, &q->waiter);
    timer_cancel(q->gateway->loop, &q->timer);
    timer_cancel(q->gateway->loop, &q->pause);
    list_remove(&q->link);
    strbuf_free(&q->text);
    arena_free(q->arena);
    free(q);
}

static void read_now(void *owner)
{
    struct query *q = owner;
    q->reading = true;
    q->dirty = false;
    q->read_ms = loop_now_ms(q->gateway->loop);
    arena_reset(q->arena);
    strbuf_clear(&q->text);
    q->count = 0;
    q->state = q->kept = NULL;
    q->after = NULL;
    q->gateway->counted.reads++;
    q->read(q);
}

static void read_again(struct query *q)
{
    uint64_t since = loop_now_ms(q->gateway->loop) - q->read_ms;
    if (q->expired || since >= READ_AGAIN_MS)
        read_now(q);
    else if (!timer_is_armed(&q->pause))
        timer_arm(q->gateway->loop, &q->pause, READ_AGAIN_MS - since, read_now, q);
}

static void on_wake(void *owner)
{
    struct query *q = owner;
    if (q->reading)
        q->dirty = true;
    else
        read_again(q);
}

static void on_deadline(void *owner)
{
    struct query *q = owner;
    q->expired = true;
    timer_cancel(q->gateway->loop, &q->pause);
    if (!q->reading)
        read_now(q);
}

static void on_gone(void *owner)
{
    struct query *q = owner;
    on_deadline(q); /* the answer goes nowhere */
}

/* True if the client shall wait: the reading is over then. */
static bool waits(struct query *q, uint64_t index)
{
    q->reading = false;
    if (q->params.index == 0 || index > q->params.index || q->expired)
        return false;
    q->gateway->counted.blocked++;
    arena_reset(q->arena);
    if (q->dirty)
        read_again(q);
    return true;
}

void query_start(struct call_context *c, const struct watch_on *on, void (*read)(struct query *q))
{
    struct query *q = xcalloc(1, sizeof(*q));
    struct gateway *g = c->gateway;
    q->gateway = g;
    q->x = c->x;
    q->context = c;
    q->params = c->params;
    q->read = read;
    q->arena = arena_new(READING_ARENA);
    list_push_back(&g->queries, &q->link);
    if (q->params.index > 0) {
        uint64_t wait_ms = q->params.wait_ms;
        wait_ms += wait_ms < 16 ? 0 : loop_random(g->loop) % (wait_ms / 16);
        q->waiter.on = *on;
        q->waiter.wake = on_wake;
        q->waiter.owner = q;
        watchers_add(g->watchers, &q->waiter);
        feeds_want(g);
        exchange_on_gone(q->x, on_gone, q);
        timer_arm(g->loop, &q->timer, wait_ms, on_deadline, q);
    }
    read_now(q);
}

/* What the leader has just confirmed is not behind anybody. */
struct freshness query_freshness(const struct query *q)
{
    const struct leader *l = q->gateway->leader;
    if (!q->params.stale)
        return (struct freshness){.known_leader = true};
    return (struct freshness){.known_leader = leader_is_known(l),
                              .last_contact_ms = leader_last_contact_ms(l)};
}

void query_found(struct query *q, uint64_t index, json_t *tree)
{
    if (waits(q, index)) {
        json_decref(tree);
        return;
    }
    answer_read_index(q->x, index, query_freshness(q));
    answer_json(q->x, tree, q->params.pretty);
    end(q);
}

void query_missing(struct query *q, uint64_t index, const char *text)
{
    if (waits(q, index))
        return;
    answer_read_index(q->x, index, query_freshness(q));
    answer_text(q->x, 404, "%s", text);
    end(q);
}

void query_refused(struct query *q, unsigned status, const char *text)
{
    answer_text(q->x, status, "%s", text);
    end(q);
}

void query_failed(struct query *q, const struct response *r)
{
    if (q->streaming) {
        exchange_end(q->x); /* cut: what has been sent is no JSON, and the client sees that */
    } else {
        answer_failure(q->x, r);
    }
    end(q);
}

/* ---- lists */

bool query_list_begin(struct query *q, uint64_t index)
{
    if (waits(q, index))
        return false;
    watchers_remove(q->gateway->watchers, &q->waiter);
    timer_cancel(q->gateway->loop, &q->timer);
    exchange_on_gone(q->x, NULL, NULL);
    answer_read_index(q->x, index, query_freshness(q));
    strbuf_putc(&q->text, '[');
    return true;
}

/* Pretty text of an element is written as if it stood alone, and moved in by one level here. */
static void add_indented(struct strbuf *out, const struct strbuf *text)
{
    strbuf_puts(out, "\n    ");
    for (size_t i = 0; i < text->len; i++) {
        if (text->data[i] != '\n')
            strbuf_putc(out, text->data[i]);
        else if (i + 1 < text->len)
            strbuf_puts(out, "\n    ");
    }
}

void query_list_add(struct query *q, json_t *element)
{
    if (q->count++ > 0)
        strbuf_putc(&q->text, ',');
    if (q->params.pretty) {
        struct strbuf alone = STRBUF_INIT;
        json_text_write(&alone, element, true);
        add_indented(&q->text, &alone);
        strbuf_free(&alone);
    } else {
        json_text_write(&q->text, element, false);
    }
    json_decref(element);
}

static void go_on(void *owner)
{
    struct query *q = owner;
    void (*more)(struct query *) = q->more;
    if (more == NULL)
        return; /* a page is being made */
    q->more = NULL;
    more(q);
}

static void on_reader_gone(void *owner)
{
    struct query *q = owner;
    if (q->more == NULL) { /* a page is being made: it ends the stream */
        q->reader_gone = true;
        return;
    }
    exchange_end(q->x);
    end(q);
}

void query_list_page(struct query *q, void (*more)(struct query *q))
{
    if (more == NULL)
        strbuf_puts(&q->text, q->params.pretty ? q->count > 0 ? "\n]\n" : "]\n" : "]");
    if (more == NULL && !q->streaming) {
        answer_body(q->x, &q->text);
        end(q);
        return;
    }
    if (!q->streaming) {
        q->streaming = true;
        exchange_stream(q->x, 200, "application/json", go_on, on_reader_gone, q);
    }
    exchange_write(q->x, q->text.data, q->text.len);
    strbuf_clear(&q->text);
    if (more == NULL || q->reader_gone) {
        exchange_end(q->x);
        end(q);
        return;
    }
    arena_reset(q->arena);
    q->more = more; /* go_on calls it when the client has read what is there */
}

static void on_objects(void *owner, const struct response *r)
{
    struct query *q = owner;
    const Pb__Objects *page = (const Pb__Objects *)r->body;
    json_t *element;
    if (r->code != PB__REPLY__CODE__OK || page == NULL) {
        query_failed(q, r);
        return;
    }
    if (q->after == NULL && !query_list_begin(q, page->table_index))
        return;
    for (size_t i = 0; i < page->n_objects; i++)
        if ((element = q->show(q, page->objects[i])) != NULL)
            query_list_add(q, element);
    if (page->next != NULL)
        q->after = (Pb__Key *)wire_clone(exchange_arena(q->x), &page->next->base);
    query_list_page(q, page->next != NULL ? q->read : NULL);
}

void query_objects(struct query *q, const Pb__List *l, show_object_fn *show)
{
    Pb__List page = *l;
    page.has_limit = 1;
    page.limit = OBJECTS_OF_A_PAGE;
    page.after = q->after;
    q->show = show;
    gateway_list(q->gateway, q->params.stale, &page, on_objects, q);
}

void query_list(struct query *q, uint64_t index, json_t *array)
{
    size_t i;
    json_t *element;
    if (query_list_begin(q, index)) {
        json_array_foreach(array, i, element) query_list_add(q, json_incref(element));
        query_list_page(q, NULL);
    }
    json_decref(array);
}

void query_close_all(struct gateway *g)
{
    struct query *q;
    list_each(&g->queries, struct query, link, q) end(q);
}
