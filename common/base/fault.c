#include "base/fault.h"
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_int visits;

bool fault_point(const char *place)
{
    const char *wanted = getenv("NORN_FAULT");
    size_t len = strlen(place);
    if (wanted == NULL || strncmp(wanted, place, len) != 0 || wanted[len] != '=')
        return false;
    const char *what = wanted + len + 1, *nth = strchr(what, ':');
    int from = nth != NULL ? (int)strtol(nth + 1, NULL, 10) : 1;
    if (atomic_fetch_add(&visits, 1) + 1 < from)
        return false;
    if (strncmp(what, "die", 3) == 0)
        kill(getpid(), SIGKILL);
    return strncmp(what, "fail", 4) == 0;
}
