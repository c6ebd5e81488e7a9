/* What a replica does before it runs: decides whether the state on the disk can be trusted, and
 * builds it again if not. */
#ifndef JOBSTORE_RECOVERY_H
#define JOBSTORE_RECOVERY_H

#include "logstore.h"
#include "state/state.h"

/* The state in dir/state, trusted or rebuilt from the newest checkpoint that can be read. From here
 * on it is marked as ours and unclean. */
enum err recovery_open_state(struct state **out, const char *dir, struct logstore *log,
                             const struct state_options *o, struct reason *why);
/* After the state was synced: the next start may trust it whatever happens to the machine. */
enum err recovery_mark_clean(struct logstore *log, struct reason *why);

/* Makes dir/checkpoint-INDEX from the state; index is at most what the state has applied. Older
 * ones go. For a worker thread. */
enum err checkpoint_make(const char *dir, struct store *state, uint64_t index, struct reason *why);

#endif
