/* The directories of an allocation, as users of Nomad know them:
 *
 *   DATA/alloc/ALLOC/alloc/{data,logs,tmp}      shared by its tasks; logs has TASK.stdout.N
 *   DATA/alloc/ALLOC/TASK/{local,secrets,tmp}   of one task; TASK itself is its working directory
 *   DATA/shim/ALLOC/TASK/                       of its taskshim: out of every task's reach
 *   DATA/moving/ALLOC/                          a disk on its way here: alloc/data and TASK/local
 */
#ifndef NODEAGENT_ALLOCDIR_H
#define NODEAGENT_ALLOCDIR_H

#include "base/arena.h"
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

char *allocdir_path(struct arena *a, const char *data_dir, const uint8_t alloc[16]);
char *allocdir_task_path(struct arena *a, const char *data_dir, const uint8_t alloc[16],
                         const char *task);
char *allocdir_shim_path(struct arena *a, const char *data_dir, const uint8_t alloc[16],
                         const char *task);

char *allocdir_moving_path(struct arena *a, const char *data_dir, const uint8_t alloc[16]);

/* Whether a task's name can be that of its directory: not empty, no "/", not "." or "..", not
 * "alloc", and at most 200 bytes. */
bool allocdir_name_is_usable(const char *task);

/* DATA/alloc, DATA/shim and DATA/moving. */
enum err allocdir_prepare(const char *data_dir, struct reason *why);
/* Of one task, and of its allocation if need be; what is there already stays. uid owns the secrets.
 */
enum err allocdir_make(const char *data_dir, const uint8_t alloc[16], const char *task, uid_t uid,
                       gid_t gid, struct reason *why);
/* Where the file system can (diskquota.h): limits what the allocation's directory may hold, and
 * makes it if need be: to be called before allocdir_make. One that was made without keeps to be
 * without. */
enum err allocdir_limit(const char *data_dir, const uint8_t alloc[16], uint64_t bytes,
                        struct reason *why);
bool allocdir_exists(const char *data_dir, const uint8_t alloc[16]);
/* All of the allocation, its limit included. Follows no symlink, does not leave the file system;
 * slow: for a worker thread. */
enum err allocdir_destroy(const char *data_dir, const uint8_t alloc[16], struct reason *why);
/* What is left of a disk that was on its way. Slow, too. */
enum err allocdir_drop_moving(const char *data_dir, const uint8_t alloc[16], struct reason *why);
/* The shim's directory of one task, once its shim has gone. */
void allocdir_drop_shim(const char *data_dir, const uint8_t alloc[16], const char *task);

#endif
