/* Operators: the region as a whole. */
#include "client.h"
#include "show.h"
#include <stdio.h>

static int put(const struct args *args, const char *path, const char *what)
{
    struct client *c = client_open(args);
    struct answer a = {0};
    int code = EXIT_ERROR;
    if (c != NULL && client_call(c, "PUT", path, NULL, NULL, &a))
        code = a.status == 200 ? EXIT_OK : answer_refused(&a, what);
    answer_free(&a);
    client_close(c);
    return code;
}

static int run_gc(const struct args *args)
{
    return put(args, "/v1/system/gc", "running system garbage-collection");
}

static int run_reconcile(const struct args *args)
{
    return put(args, "/v1/system/reconcile/summaries", "running system summary reconciliation");
}

const struct command commands_system[] = {
    {"system gc", NULL, "", "collect now what nobody needs any more",
     "Jobs that have ended or were stopped, evaluations, allocations, deployments and nodes that\n"
     "are down go at once instead of when they are old enough. Nothing that runs is touched. It\n"
     "goes on after the command has returned.",
     NULL, 0, 0, run_gc},
    {"system reconcile summaries", NULL, "", "as in Nomad; here there is nothing to mend",
     "The servers keep each job's summary right with every change, so it changes nothing.", NULL, 0,
     0, run_reconcile},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
