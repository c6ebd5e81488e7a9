/* The shell around launch: proposes the launches of periodic jobs when their time has come. */
#ifndef CONTROLLER_LAUNCHER_H
#define CONTROLLER_LAUNCHER_H

#include "loop/loop.h"
#include "net/net.h"
#include "types.pb-c.h"

struct launcher;

struct launcher *launcher_new(struct loop *l, struct client *jobstore); /* both borrowed */
void launcher_free(struct launcher *l); /* NULL is accepted; what it proposed is given up */

/* ---- the feed */
void launcher_reset(struct launcher *l);
void launcher_put_job(struct launcher *l, const Pb__Job *job);
void launcher_drop_job(struct launcher *l, const char *ns, const char *id);
/* The jobs are all known: begin. */
void launcher_synced(struct launcher *l);

size_t launcher_count(const struct launcher *l);      /* periodic jobs */
uint64_t launcher_launched(const struct launcher *l); /* children, since this server leads */

#endif
