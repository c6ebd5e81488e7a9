/* Builders of devices and grants, for tests. */
#ifndef TESTS_PIECES_H
#define TESTS_PIECES_H

#include "base/arena.h"
#include "types.pb-c.h"

/* "acme/gpu/x1" with instances "a b c", all of them healthy. */
Pb__NodeDevice *a_device(struct arena *a, const char *kind, const char *ids);
void device_attribute(struct arena *a, Pb__NodeDevice *d, const char *key, const char *value);
void node_add_device(struct arena *a, Pb__Node *n, Pb__NodeDevice *d);
void node_list_cores(struct arena *a, Pb__Node *n, uint32_t count); /* 0 to count - 1 */

/* An empty one. */
Pb__TaskGrant *a_grant(struct arena *a, const char *task);
void grant_core(struct arena *a, Pb__TaskGrant *g, uint32_t core);
void grant_instance(struct arena *a, Pb__TaskGrant *g, const char *kind, const char *id);

#endif
