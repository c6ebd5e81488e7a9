#include "forget.h"
#include "base/id.h"
#include "base/log.h"
#include "wire/wire.h"
#include <stdlib.h>
#include <string.h>

#define MOST_ASKED 1000
#define BUDGET_MS  15000
#define SOON_MS    200
#define ARENA_CAP  ((size_t)1 << 20)

struct forget {
    struct loop *loop;
    struct forget_options options;
    struct timer timer;
    struct call *call;
    uint8_t after[ID_SIZE]; /* the last that was asked for: more than fit come one turn later */
    /* while the local state is walked */
    struct arena *arena;
    ProtobufCBinaryData *ids;
    size_t count;
};

static void ask(void *owner);

/* Half as long as it could be at least, so that many agents do not come at once. */
static void wait(struct forget *f)
{
    uint64_t half = f->options.interval_ms / 2 + 1;
    timer_arm(f->loop, &f->timer, half + loop_random(f->loop) % half, ask, f);
}

static void on_answer(void *owner, const struct response *r)
{
    struct forget *f = owner;
    const Pb__AllocsGone *gone = (const Pb__AllocsGone *)r->body;
    f->call = NULL;
    if (r->code != PB__REPLY__CODE__OK || gone == NULL)
        log_debug("forget_failed", "reason=%s", log_quote(r->reason));
    else
        for (size_t i = 0; i < gone->n_alloc_ids; i++)
            if (gone->alloc_ids[i].len == ID_SIZE)
                runner_forget(f->options.runner, gone->alloc_ids[i].data);
    wait(f);
}

static void note(void *owner, const Pb__LocalAlloc *saved)
{
    struct forget *f = owner;
    if (f->count == MOST_ASKED || saved->alloc == NULL || saved->alloc->id.len != ID_SIZE ||
        memcmp(saved->alloc->id.data, f->after, ID_SIZE) <= 0 ||
        runner_has(f->options.runner, saved->alloc->id.data))
        return;
    f->ids[f->count++] = wire_id(f->arena, saved->alloc->id.data);
}

static void call(struct forget *f)
{
    Pb__AllocsKept kept = PB__ALLOCS_KEPT__INIT;
    kept.has_node_id = kept.has_secret_id = true;
    kept.node_id = f->options.node->id;
    kept.secret_id = f->options.node->secret_id;
    kept.n_alloc_ids = f->count;
    kept.alloc_ids = f->ids;
    f->call = client_call(uplink_client(f->options.uplink),
                          &(struct call_options){.method = PB__GATEWAY__METHOD__ALLOCS_KEPT,
                                                 .body = &kept.base,
                                                 .reply = &pb__allocs_gone__descriptor,
                                                 .budget_ms = BUDGET_MS,
                                                 .retry = true,
                                                 .done = on_answer,
                                                 .owner = f});
}

static void ask(void *owner)
{
    struct forget *f = owner;
    if (!uplink_is_registered(f->options.uplink)) {
        wait(f);
        return;
    }
    if (local_is_dirty(f->options.local)) { /* it is written with this step or the next */
        timer_arm(f->loop, &f->timer, SOON_MS, ask, f);
        return;
    }
    f->arena = arena_new(ARENA_CAP);
    f->ids = arena_array(f->arena, ProtobufCBinaryData, MOST_ASKED);
    f->count = 0;
    local_each_alloc(f->options.local, note, f);
    if (f->count == MOST_ASKED)
        memcpy(f->after, f->ids[f->count - 1].data, ID_SIZE);
    else
        memset(f->after, 0, ID_SIZE);
    if (f->count > 0)
        call(f);
    else
        wait(f);
    arena_free(f->arena);
    f->arena = NULL;
}

struct forget *forget_new(struct loop *l, const struct forget_options *o)
{
    struct forget *f = xcalloc(1, sizeof *f);
    f->loop = l;
    f->options = *o;
    wait(f);
    return f;
}

void forget_free(struct forget *f)
{
    if (f == NULL)
        return;
    timer_cancel(f->loop, &f->timer);
    call_cancel(f->call);
    free(f);
}
