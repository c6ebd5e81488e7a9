/* Follows an evaluation to its end and says what happens on the way. */
#ifndef NCTL_MONITOR_H
#define NCTL_MONITOR_H

#include "client.h"

struct monitor_options {
    bool verbose;    /* whole ids; waits for the tasks; prints the scores */
    bool quiet;      /* prints nothing: for -json */
    bool placed;     /* also waits a moment for what was placed to leave "pending" */
    bool deployment; /* then follows the deployment that it belongs to, unless quiet */
};

/* EXIT_OK; EXIT_PLACEMENT: not all of it could be placed; EXIT_ERROR: the evaluation or the
 * deployment failed, or no answer. *result, which may be NULL, becomes {"Evaluation": ...,
 * "Allocations": [...]}, the caller's. */
int monitor_eval(struct client *c, const char *eval_id, const struct monitor_options *o,
                 json_t **result);

#endif
