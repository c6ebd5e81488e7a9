/* A daemon's data directory: made when missing, owned by one process at a time, and of a known
 * format. */
#ifndef DAEMON_DATADIR_H
#define DAEMON_DATADIR_H

#include "base/err.h"

/* Makes path (0750) and the directories above it, takes its lock until the process ends, and checks
 * the file VERSION
 * ("norn <kind> <format>"), which it writes into an empty directory. Refuses, with a clear reason,
 * a directory that another user owns, that another process uses, or that holds something else or
 * another format. */
enum err datadir_open(const char *path, const char *kind, unsigned format, struct reason *why);

/* mkdir -p */
enum err datadir_make(const char *path, unsigned mode, struct reason *why);

#endif
