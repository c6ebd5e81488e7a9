/* Reading inside an allocation's directory, and nowhere else. Every path is opened by openat2 below
 * the directory's own descriptor, so that neither "..", a symlink, a magic link nor a rename under
 * our hands leads out; then only plain files and directories are used, so that no device or FIFO is
 * ever touched. */
#ifndef NODEAGENT_FS_H
#define NODEAGENT_FS_H

#include "base/arena.h"
#include "base/err.h"
#include "gateway.pb-c.h"

#define FS_MAX_ENTRIES 20000 /* of one directory in one answer */

/* root: the allocation's directory; path: as the user wrote it, "/" is the root. Reasons are
 * Nomad's texts. */
enum err fs_stat(struct arena *a, const char *root, const char *path, Pb__FileInfo **out,
                 struct reason *why);
/* Sorted by name; symlinks are shown, not followed. */
enum err fs_list(struct arena *a, const char *root, const char *path, Pb__FileInfo ***out,
                 size_t *count, struct reason *why);
/* A plain file, to be read; nothing under TASK/secrets. */
enum err fs_open(const char *root, const char *path, int *out_fd, struct reason *why);

/* "drwxr-xr-x", "-rw-r--r--", "Lrwxrwxrwx", "prw-------": Go's notation. */
void fs_mode_text(uint32_t mode, char out[16]);
/* By the name's ending, else by the first bytes. */
const char *fs_content_type(const char *name, const void *head, size_t len);

#endif
