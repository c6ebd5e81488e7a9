#include "latency.h"
#include "base/err.h"
#include <stdlib.h>

void latency_add(struct latency *l, int64_t ns)
{
    if (l->count == l->room) {
        l->room = l->room == 0 ? 1024 : 2 * l->room;
        l->ns = xrealloc(l->ns, l->room * sizeof *l->ns);
    }
    l->ns[l->count++] = ns;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

double latency_ms(struct latency *l, double q)
{
    if (l->count == 0)
        return 0;
    qsort(l->ns, l->count, sizeof *l->ns, by_size);
    size_t at = (size_t)(q * (double)(l->count - 1) + 0.5);
    return (double)l->ns[at] / 1e6;
}

void latency_fini(struct latency *l)
{
    free(l->ns);
}
