/* Two names that change places all the time, on a thread of their own: for those who look at a name
 * twice. */
#ifndef SWAP_H
#define SWAP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct swap {
    const char *names[2];
    pthread_t thread;
    atomic_bool goes_on;
};

void swap_begin(struct swap *s, const char *one, const char *other); /* the names are kept */
void swap_end(struct swap *s);

#endif
