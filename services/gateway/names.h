/* What the gateway remembers of nodes and jobs, so that a list of allocations need not ask for each
 * one's: names of nodes, and jobs by version. Both are bounded; what is missing is fetched. */
#ifndef GATEWAY_NAMES_H
#define GATEWAY_NAMES_H

#include "gateway.h"
#include "types.pb-c.h"

struct names;

struct names *names_new(struct gateway *g);
void names_free(struct names *n);
void names_forget(struct names *n); /* something was missed */
void names_object(struct names *n, const Pb__Object *o);

/* What has been fetched is remembered when this is called. failed is NULL, or why jobstore did not
 * answer. */
typedef void names_done_fn(void *owner, const struct response *failed);

/* False: not remembered, fetch it. "": there is no such node. */
bool names_node(struct names *n, const uint8_t id[16], const char **out);
/* The node's address, from what names_node gave. */
const char *names_node_ip(const char *name);
void names_fetch_node(struct names *n, const uint8_t id[16], names_done_fn *done, void *owner);
/* The job in that version; *out is NULL if it is gone. Borrowed until the next names_fetch_job. */
bool names_job(struct names *n, const Pb__Alloc *alloc, const Pb__Job **out);
void names_fetch_job(struct names *n, const Pb__Alloc *alloc, names_done_fn *done, void *owner);
/* The type of the job, remembered for many more jobs than whole ones. */
bool names_job_type(struct names *n, const Pb__Alloc *alloc, const char **out);

#endif
