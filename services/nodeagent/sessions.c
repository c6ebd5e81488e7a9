#include "sessions.h"
#include "base/id.h"
#include "base/map.h"
#include "channel.h"
#include <stdlib.h>
#include <string.h>

#define MAX_SESSIONS 128

struct sessions {
    struct loop *loop;
    struct sessions_options options;
    struct map *active; /* request id -> struct session */
};

static const struct kind {
    Pb__AgentRequest__Kind number;
    struct session *(*make)(void);
    void (*begin)(struct session *s, const Pb__AgentRequest *request);
} kinds[] = {
    {PB__AGENT_REQUEST__KIND__EXEC, exec_session_new, exec_session_begin},
    {PB__AGENT_REQUEST__KIND__FORWARD, forward_session_new, forward_session_begin},
    {PB__AGENT_REQUEST__KIND__SNAPSHOT, snapshot_session_new, snapshot_session_begin},
};

static void session_end(struct session *s)
{
    map_remove(s->all->active, s->id, ID_SIZE);
    channel_free(s->channel);
    s->stop(s);
}

static void on_over(void *owner)
{
    session_end(owner);
}

static void on_resized(void *owner, unsigned rows, unsigned columns)
{
    struct session *s = owner;
    if (s->resized != NULL)
        s->resized(s, rows, columns);
}

static void begin(struct sessions *all, const struct kind *kind, const Pb__AgentRequest *request)
{
    struct session *s = kind->make();
    s->all = all;
    memcpy(s->id, request->id.data, ID_SIZE);
    s->channel = channel_new(all->loop, &(struct channel_options){
                                            .id = s->id,
                                            .node = all->options.node,
                                            .client = all->options.client,
                                            .client_owner = all->options.owner,
                                            .resized = on_resized,
                                            .over = on_over,
                                            .owner = s,
                                        });
    map_put(all->active, s->id, ID_SIZE, s);
    if (map_count(all->active) > MAX_SESSIONS)
        channel_fail(s->channel, 429, "too many commands and connections at once on this node");
    else
        kind->begin(s, request);
}

bool sessions_begin(struct sessions *all, const Pb__AgentRequest *request)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (kinds[i].number != request->kind)
            continue;
        if (request->id.len == ID_SIZE && request->alloc_id.len == ID_SIZE &&
            map_get_id(all->active, request->id.data) == NULL)
            begin(all, &kinds[i], request);
        return true;
    }
    return false;
}

struct loop *session_loop(const struct session *s)
{
    return s->all->loop;
}

struct runner *session_runner(const struct session *s)
{
    return s->all->options.runner;
}

struct sessions *sessions_new(struct loop *l, const struct sessions_options *o)
{
    struct sessions *all = xcalloc(1, sizeof *all);
    all->loop = l;
    all->options = *o;
    all->active = map_new();
    return all;
}

void sessions_free(struct sessions *all)
{
    void *s;
    if (all == NULL)
        return;
    for (size_t i = 0; map_next(all->active, &i, NULL, NULL, &s); i = 0)
        session_end(s);
    map_free(all->active);
    free(all);
}

size_t sessions_count(const struct sessions *all)
{
    return map_count(all->active);
}
