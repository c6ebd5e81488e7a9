/* A read that may wait: reads, and if nothing is newer than the client's index, reads again when
 * something it looks at has changed, until the client's time is over.
 *
 * A handler calls query_start with a read function; each reading ends in exactly one call of
 * query_found, query_missing, query_failed, or of the list functions. */
#ifndef GATEWAY_QUERY_H
#define GATEWAY_QUERY_H

#include "answer.h"
#include "jobstore.pb-c.h"
#include "net/net.h"
#include "routes.h"
#include "watch.h"
#include <jansson.h>

struct query;
/* As the list shows it; NULL: it is not of the list. */
typedef json_t *show_object_fn(struct query *q, const Pb__Object *o);

struct query {
    struct link link; /* in gateway.queries */
    struct gateway *gateway;
    struct exchange *x;
    struct call_context *context;
    struct params params;
    struct arena *arena; /* of this reading: emptied before the next */
    void (*read)(struct query *q);
    struct waiter waiter;
    struct timer timer;
    struct timer pause;
    uint64_t deadline_ms;
    uint64_t read_ms; /* when the last reading began */
    bool reading, dirty, expired;
    /* a list being written */
    struct strbuf text;
    uint64_t count;
    bool streaming, reader_gone;
    void (*more)(struct query *q);
    /* a list of objects */
    Pb__Key *after; /* where the next page begins; NULL: at the start */
    show_object_fn *show;
    /* for the handler's own use */
    void *state; /* of this page, in `arena` */
    void *kept;  /* of the whole list, in the exchange's arena; NULL when a reading begins */
};

/* on: what the answer depends on. Its strings must live as long as the exchange. */
void query_start(struct call_context *c, const struct watch_on *on, void (*read)(struct query *q));

void query_found(struct query *q, uint64_t index, json_t *tree);        /* takes tree */
void query_missing(struct query *q, uint64_t index, const char *text);  /* 404 */
void query_refused(struct query *q, unsigned status, const char *text); /* at once */
void query_failed(struct query *q, const struct response *r);           /* at once */

/* Lists. query_list_begin is false if the query waits instead: then the reading is over. After each
 * page query_list_page: `more` is called once the client has room for another; with more NULL the
 * list is complete. */
bool query_list_begin(struct query *q, uint64_t index);
void query_list_add(struct query *q, json_t *element); /* takes element */
void query_list_page(struct query *q, void (*more)(struct query *q));
/* A list of objects as jobstore has them: the page of l that it is at, each shown; q->read, which
 * calls this again, for the next. */
void query_objects(struct query *q, const Pb__List *l, show_object_fn *show);
/* A whole list at once. */
void query_list(struct query *q, uint64_t index, json_t *array); /* takes array */

struct freshness query_freshness(const struct query *q);

void query_close_all(struct gateway *g);

#endif
