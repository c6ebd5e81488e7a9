/* How a deployment looks, and following one to its end. */
#ifndef NCTL_DEPLOYVIEW_H
#define NCTL_DEPLOYVIEW_H

#include "client.h"

/* "ID = ..." and so on, then the table of its groups. of_job: beneath the job, whose id and version
 * need no telling. */
void print_deployment(const json_t *deployment, bool of_job, bool whole_ids, bool colors);
/* A table, the newest first. */
void print_deployments(const json_t *list, bool whole_ids, bool colors);

struct follow_options {
    bool verbose;   /* whole ids */
    bool promotion; /* wait also where nothing but a promotion by hand is missing */
};
/* Tells what changes until it ends. EXIT_OK: it was successful, or waits for a promotion that is
 * not waited for; EXIT_ERROR: it failed, was cancelled, or could not be read. */
int follow_deployment(struct client *c, const char *id, const struct follow_options *o);

#endif
