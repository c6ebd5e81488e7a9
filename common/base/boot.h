#ifndef BASE_BOOT_H
#define BASE_BOOT_H

#define BOOT_ID_SIZE 64

/* What tells this run of the machine from all others: what was not synced may be lost between two.
 * "": not known. */
void boot_id(char out[BOOT_ID_SIZE]);

#endif
