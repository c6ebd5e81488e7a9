/* What an allocation's disk holds, as a tar, for a client somewhere: mostly for the agent of the
 * allocation that is to take it over, which asks that this one have ended first. */
#include "allocdir.h"
#include "base/id.h"
#include "channel.h"
#include "helper.h"
#include "run.h"
#include "sessions.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_MS 200 /* whether it has ended */

struct snapshot_session {
    struct session session;
    uint8_t alloc[ID_SIZE];
    bool once_ended;
    struct timer timer;
};

static struct snapshot_session *of(struct session *s)
{
    return container_of(s, struct snapshot_session, session);
}

/* The process, if there is one, ends when it finds that nobody reads any more. */
static void stop(struct session *s)
{
    struct snapshot_session *m = of(s);
    timer_cancel(session_loop(s), &m->timer);
    free(m);
}

struct session *snapshot_session_new(void)
{
    struct snapshot_session *m = xcalloc(1, sizeof *m);
    m->session = (struct session){.stop = stop};
    return &m->session;
}

static enum err spawn(struct snapshot_session *m, int *fd, struct reason *why)
{
    const struct runner_options *o = &session_runner(&m->session)->options;
    struct arena *a = arena_new(1 << 16);
    char verb[] = "pack";
    char *argv[] = {(char *)(uintptr_t)o->taskmove, verb, allocdir_path(a, o->data_dir, m->alloc),
                    NULL};
    int ends[2];
    pid_t pid;
    enum err e = ERR_UNAVAILABLE;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        reason_errno(why, e, "make a pipe");
    } else {
        e = helper_spawn(&pid, argv, -1, ends[1], why);
        close(ends[1]);
        if (e == OK)
            *fd = ends[0];
        else
            close(ends[0]);
    }
    arena_free(a);
    return e;
}

static void look(void *owner)
{
    struct snapshot_session *m = owner;
    struct runner *r = session_runner(&m->session);
    const struct alloc_run *run = map_get_id(r->allocs, m->alloc);
    struct reason why;
    int fd;
    if (m->once_ended && run != NULL && !run->ended) {
        timer_arm(session_loop(&m->session), &m->timer, LOOK_MS, look, m);
        return;
    }
    if (spawn(m, &fd, &why) != OK) {
        channel_fail(m->session.channel, 500, why.text);
        return;
    }
    channel_output(m->session.channel, fd, NULL);
    channel_finish(m->session.channel, 0);
}

void snapshot_session_begin(struct session *s, const Pb__AgentRequest *q)
{
    struct snapshot_session *m = of(s);
    memcpy(m->alloc, q->alloc_id.data, ID_SIZE);
    m->once_ended = q->follow;
    if (allocdir_exists(session_runner(s)->options.data_dir, m->alloc))
        look(m);
    else
        channel_fail(s->channel, 404, "the allocation has no files on this node");
}
