#include "wholeads.h"
#include "base/err.h"
#include "base/list.h"
#include "gateway.pb-c.h"
#include <stdlib.h>
#include <string.h>

#define LONGEST_WAIT_MS 60000u

struct waiting {
    struct link link;
    struct wholeads *wholeads;
    struct request *req;
    struct timer timer;
};

struct wholeads {
    struct loop *loop;
    struct leader *leader;
    struct roster *roster;
    struct link waiting;
};

/* address is where the leader's door is kept; *out refers to it. */
static void fill(const struct wholeads *w, struct arena *a, char address[256], Pb__LeaderInfo *out)
{
    const Pb__Member *m = leader_member(w->leader);
    pb__leader_info__init(out);
    out->has_term = out->has_here = 1;
    out->term = leader_term(w->leader);
    out->here = leader_is_here(w->leader);
    address[0] = '\0';
    if (m != NULL)
        roster_door(w->roster, m, address);
    out->address = address;
    if (a != NULL)
        out->n_servers = roster_doors(w->roster, a, &out->servers);
}

static bool differs(const Pb__LeaderInfo *now, const Pb__LeaderWait *known)
{
    return now->term != known->term || now->here != known->here || known->address == NULL ||
           strcmp(now->address, known->address) != 0;
}

static void waiting_free(struct waiting *x)
{
    timer_cancel(x->wholeads->loop, &x->timer);
    list_remove(&x->link);
    free(x);
}

static void answer(struct waiting *x)
{
    Pb__LeaderInfo info;
    char address[256];
    struct request *req = x->req;
    fill(x->wholeads, request_arena(req), address, &info);
    waiting_free(x);
    request_reply(req, &info.base, 0);
}

static void on_wait_over(void *owner)
{
    answer(owner);
}

static void on_gone(void *owner, struct request *req)
{
    waiting_free(owner);
}

void wholeads_answer(struct wholeads *w, struct request *req)
{
    const Pb__LeaderWait *ask = (const Pb__LeaderWait *)request_body(req);
    Pb__LeaderInfo info;
    char address[256];
    fill(w, request_arena(req), address, &info);
    if (ask->wait_ms == 0 || differs(&info, ask)) {
        request_reply(req, &info.base, 0);
        return;
    }
    struct waiting *x = xcalloc(1, sizeof(*x));
    x->wholeads = w;
    x->req = req;
    list_push_back(&w->waiting, &x->link);
    request_park(req, on_gone, x);
    timer_arm(w->loop, &x->timer, ask->wait_ms < LONGEST_WAIT_MS ? ask->wait_ms : LONGEST_WAIT_MS,
              on_wait_over, x);
}

void wholeads_changed(struct wholeads *w)
{
    Pb__LeaderInfo info;
    char address[256];
    struct waiting *x;
    fill(w, NULL, address, &info);
    list_each(&w->waiting, struct waiting, link, x)
    {
        if (differs(&info, (const Pb__LeaderWait *)request_body(x->req)))
            answer(x);
    }
}

struct wholeads *wholeads_new(struct loop *l, struct leader *leader, struct roster *roster)
{
    struct wholeads *w = xcalloc(1, sizeof(*w));
    w->loop = l;
    w->leader = leader;
    w->roster = roster;
    list_init(&w->waiting);
    return w;
}

void wholeads_free(struct wholeads *w)
{
    if (w == NULL)
        return;
    struct waiting *x;
    list_each(&w->waiting, struct waiting, link, x)
    {
        waiting_free(x); /* the server fails the request */
    }
    free(w);
}
