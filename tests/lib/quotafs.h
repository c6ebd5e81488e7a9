/* A file system with project quotas for one test: in a file of the test's directory, mounted in a
 * mount namespace of the test's own, which takes mount and loop device away with it. */
#ifndef TESTS_QUOTAFS_H
#define TESTS_QUOTAFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Makes dir/data and mounts one there. kind: "ext4" or "xfs"; options: "prjquota", or another of
 * mount's. False: that cannot be done here, and nothing is left of it. */
bool quotafs_mount(const char *dir, const char *kind, const char *options);
void quotafs_unmount(const char *dir);

/* The project of a file or directory. */
uint32_t quotafs_project(const char *path);
/* How many files and directories below path, itself included, have another project. */
size_t quotafs_strangers(const char *path, uint32_t project);
/* In bytes; 0: none. path: anything in the file system. */
uint64_t quotafs_limit(const char *path, uint32_t project);
uint64_t quotafs_used(const char *path, uint32_t project);

#endif
