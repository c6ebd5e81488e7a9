/* A second copy of the local state: one small file per record, written when the record has been
 * committed. It is read when the state itself cannot be: then tasks that run are still known, and
 * the node is still the same node. A copy may be a step older than its record was; what became of
 * its tasks since, their taskshims tell. */
#ifndef NODEAGENT_SPARE_H
#define NODEAGENT_SPARE_H

#include "base/err.h"
#include "store/store.h"
#include <stdbool.h>

#define SPARE_MAX_KEY 64

struct spare;

/* In data_dir/spare, which is made. tables: as the store's. */
enum err spare_open(struct spare **out, const char *data_dir, const char *const *tables,
                    size_t table_count, struct reason *why);
void spare_close(struct spare *s);

/* Replaces the file as a whole. sync: it is on the disk when this returns. Failing is logged, once
 * until it succeeds again; the old copy then stays. */
void spare_put(struct spare *s, unsigned table, struct bytes key, struct bytes value, bool sync);
void spare_remove(struct spare *s, unsigned table, struct bytes key);
/* Whether this is what the file holds. */
bool spare_has(struct spare *s, unsigned table, struct bytes key, struct bytes value);
/* Every file that has the name of a record. */
void spare_each(struct spare *s,
                void (*each)(void *owner, unsigned table, struct bytes key, struct bytes value),
                void *owner);

#endif
