/* The rotated output files of one task as one stream: alloc/logs/TASK.TYPE.N, N counting up. */
#ifndef NODEAGENT_LOGFILES_H
#define NODEAGENT_LOGFILES_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

struct logfiles {
    const char *root; /* of the allocation; borrowed, as are the two below */
    const char *task, *type;
    int fd; /* -1: no file yet */
    uint32_t number;
    int64_t offset; /* in the present file */
};

/* Stands at `offset` bytes from the beginning of what is kept, or before its end. No file yet is no
 * error: logfiles_read looks again. */
enum err logfiles_open(struct logfiles *l, const char *root, const char *task, const char *type,
                       int64_t offset, bool from_end, struct reason *why);
void logfiles_close(struct logfiles *l);
/* As many bytes as are there, up to len, all from one file; goes on to the next file at the end of
 * one. 0: no more for now. */
enum err logfiles_read(struct logfiles *l, void *out, size_t len, size_t *got, struct reason *why);
/* "alloc/logs/TASK.TYPE.N" */
void logfiles_name(const struct logfiles *l, char *out, size_t room);

#endif
