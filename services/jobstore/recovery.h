/* What a replica does before it runs: decides whether the state on the disk can be trusted, and
 * builds it again if not. */
#ifndef JOBSTORE_RECOVERY_H
#define JOBSTORE_RECOVERY_H

#include "logstore.h"
#include "state/state.h"

/* The state in dir/state, trusted or rebuilt from the newest checkpoint that can be read. From here
 * on it is marked as ours and unclean. */
enum err recovery_open_state(struct state **out, const char *dir, struct logstore *log,
                             const struct state_options *o, bool *rebuilt, struct reason *why);
/* After the state was synced: the next start may trust it whatever happens to the machine. */
enum err recovery_mark_clean(struct logstore *log, struct reason *why);

/* Makes dir/checkpoint-INDEX from the state; index is at most what the state has applied. Older
 * ones go. For a worker thread. */
/* From a copy of the state that lies in a file; older ones stay, until the log goes with this one.
 */
enum err checkpoint_from(const char *dir, const char *path, uint64_t index, struct reason *why);
/* dir/incoming takes the place of dir/state, for good. Both are closed. index: raft's, that it
 * holds. */
enum err recovery_swap(const char *dir, struct logstore *log, uint64_t index, struct reason *why);
/* Raft's index that the state has applied. */
uint64_t recovery_applied(struct state *s);
void recovery_remove_dir(const char *dir, const char *name);
enum err checkpoint_make(const char *dir, struct store *state, uint64_t index, struct reason *why);

#endif
