#include "base/err.h"
#include "net/envelope.h"
#include "net/syscalls.h"
#include <pthread.h>
#include <stdint.h>
#include <time.h>

#define CLOSE_LIMIT_S 2

static void *close_it(void *arg)
{
    nng_close((nng_socket){.id = (uint32_t)(uintptr_t)arg});
    return NULL;
}

bool socket_close(nng_socket socket)
{
    pthread_t thread;
    struct timespec until;
    syscalls_hold();
    must(pthread_create(&thread, NULL, close_it, (void *)(uintptr_t)socket.id) == 0);
    must(clock_gettime(CLOCK_REALTIME, &until) == 0);
    until.tv_sec += CLOSE_LIMIT_S;
    bool closed = pthread_timedjoin_np(thread, NULL, &until) == 0;
    syscalls_go_on();
    if (!closed)
        pthread_detach(thread);
    return closed;
}
