/* A cluster that lost its quorum for good: the file `recover` in the data directory names the
 * servers that go on. See docs/recovery.md. */
#ifndef JOBSTORE_RECOVER_H
#define JOBSTORE_RECOVER_H

#include "base/err.h"
#include "raft/raft.h"

struct replica;

/* One server a line: its id, as `operator raft list-peers` shows it, and "non_voting" behind it if
 * it does not vote. Empty lines and what follows a # do not count. Pure. ERR_INVALID: *why names
 * the line. */
enum err recover_parse(const char *text, struct raft_member out[RAFT_MAX_MEMBERS], size_t *count,
                       struct reason *why);
/* If dir has such a file: makes its servers the members, and renames it to recover.done. Before the
 * replica runs. */
enum err recover_maybe(struct replica *r, const char *dir, struct reason *why);

#endif
