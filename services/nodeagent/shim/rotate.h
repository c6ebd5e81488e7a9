/* Output files TASK.TYPE.N that grow to a size, N counting up, the oldest deleted. libc only, no
 * malloc. */
#ifndef NODEAGENT_SHIM_ROTATE_H
#define NODEAGENT_SHIM_ROTATE_H

#include <stddef.h>
#include <stdint.h>

struct rotate {
    int dir; /* borrowed */
    int fd;  /* -1: none open; what is written then is lost */
    const char *task, *type;
    uint32_t number, max_files;
    uint64_t size, max_bytes;
};

/* Goes on behind the highest number that is there. */
void rotate_init(struct rotate *r, int dir, const char *task, const char *type, uint32_t max_files,
                 uint64_t max_bytes);
/* Cuts at a line's end where one is at hand. Never fails: on a full disk output is lost, the task
 * lives. */
void rotate_write(struct rotate *r, const char *data, size_t len);
void rotate_fini(struct rotate *r);

#endif
