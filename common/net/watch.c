/* Is nng still able to end connections? See syscalls.c for how it may lose that. A connection of
 * our own, inside the process, is closed again and again, and nng must say each time that it ended.
 */
#include "base/err.h"
#include "net/net.h"
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>

#define PROBE_MS    2000
#define MISSES_MOST 4

/* There is one nng in a process, and so one of these. */
static struct {
    struct loop *loop;
    struct timer timer;
    void (*stuck)(void *owner);
    void *owner;
    uint32_t pipe;  /* atomic: the connection, on the dialling side; 0: none now */
    uint32_t ended; /* atomic: how often one ended */
    uint32_t ended_before;
    bool probing;
    unsigned misses;
} watched;

/* On a thread of nng's. */
static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    if (event == NNG_PIPE_EV_ADD_POST) {
        __atomic_store_n(&watched.pipe, (uint32_t)nng_pipe_id(pipe), __ATOMIC_RELEASE);
    } else {
        __atomic_store_n(&watched.pipe, 0, __ATOMIC_RELEASE);
        __atomic_add_fetch(&watched.ended, 1, __ATOMIC_ACQ_REL);
    }
}

static void probe(void *owner)
{
    uint32_t ended = __atomic_load_n(&watched.ended, __ATOMIC_ACQUIRE);
    nng_pipe pipe = {.id = __atomic_load_n(&watched.pipe, __ATOMIC_ACQUIRE)};
    if (watched.probing && ended == watched.ended_before) {
        /* A process that was stopped, or starved, has some turns more to catch up. */
        if (++watched.misses == MISSES_MOST)
            watched.stuck(watched.owner);
    } else {
        watched.misses = 0;
        watched.ended_before = ended;
        watched.probing = pipe.id != 0;
        if (watched.probing)
            nng_pipe_close(pipe);
    }
    timer_arm(watched.loop, &watched.timer, PROBE_MS, probe, NULL);
}

void net_watch(struct loop *l, void (*stuck)(void *owner), void *owner)
{
    static const char addr[] = "inproc://norn-watch";
    nng_socket here, there;
    must(watched.loop == NULL);
    watched.loop = l;
    watched.stuck = stuck;
    watched.owner = owner;
    must(nng_pair0_open(&here) == 0 && nng_pair0_open(&there) == 0);
    must(nng_socket_set_ms(there, NNG_OPT_RECONNMINT, 10) == 0);
    must(nng_socket_set_ms(there, NNG_OPT_RECONNMAXT, 100) == 0);
    must(nng_pipe_notify(there, NNG_PIPE_EV_ADD_POST, on_pipe, NULL) == 0);
    must(nng_pipe_notify(there, NNG_PIPE_EV_REM_POST, on_pipe, NULL) == 0);
    must(nng_listen(here, addr, NULL, 0) == 0);
    must(nng_dial(there, addr, NULL, NNG_FLAG_NONBLOCK) == 0);
    timer_arm(l, &watched.timer, PROBE_MS, probe, NULL);
}
