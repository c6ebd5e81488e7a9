/* Limits what a directory may hold by a project quota of its file system (ext4 and xfs mounted with
 * `prjquota`; Linux 5.14 or later), so that writing more fails at once. The directory itself keeps
 * its project id, so nothing need be remembered. */
#ifndef NODEAGENT_DISKQUOTA_H
#define NODEAGENT_DISKQUOTA_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

/* Ids of others are below; within, one that has neither a limit nor a file is taken. */
enum { DISKQUOTA_FIRST = 1 << 30, DISKQUOTA_IDS = 1 << 30 };

/* Whether the file system of dir keeps to limits of projects, and we may set them. */
bool diskquota_is_on(const char *dir);
/* Gives an empty directory a project of its own; what is made in it belongs to the project, too.
 * seed: where to look for an id. One that has a project of ours keeps it. */
enum err diskquota_begin(const char *dir, uint32_t seed, struct reason *why);
/* Sets the limit; bytes 0: none. ERR_NOT_FOUND: dir has no project of ours, or is not there. */
enum err diskquota_limit(const char *dir, uint64_t bytes, struct reason *why);
/* Gives all that is below at/name, itself last, the project of `dir`: what would be counted for
 * another allocation is counted for that of `dir`, and at/name can be renamed into it. Links,
 * pipes, sockets and devices keep theirs, no link is followed, and what is mounted there is left
 * out. Where it has that project already, as after a first time, or is no directory, nothing is
 * done. An error leaves at/name and what is below as they were. Takes its time: for a worker. */
enum err diskquota_pass(int at, const char *name, const char *dir, struct reason *why);
/* What the project holds, by blocks, without looking at its files; errors as above. */
enum err diskquota_used(const char *dir, uint64_t *bytes, struct reason *why);

#endif
