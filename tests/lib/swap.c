#include "swap.h"
#include "base/err.h"
#include <fcntl.h>
#include <stdio.h>

static void *swap_all_the_time(void *arg)
{
    struct swap *s = arg;
    while (s->goes_on)
        renameat2(AT_FDCWD, s->names[0], AT_FDCWD, s->names[1], RENAME_EXCHANGE);
    return NULL;
}

void swap_begin(struct swap *s, const char *one, const char *other)
{
    s->names[0] = one;
    s->names[1] = other;
    s->goes_on = true;
    must(pthread_create(&s->thread, NULL, swap_all_the_time, s) == 0);
}

void swap_end(struct swap *s)
{
    s->goes_on = false;
    pthread_join(s->thread, NULL);
}
