/* Ids and names by any unambiguous prefix. */
#ifndef NCTL_RESOLVE_H
#define NCTL_RESOLVE_H

#include "client.h"

enum resolve { RESOLVED, RESOLVE_NONE, RESOLVE_FAILED };

/* The one object of a list whose ID begins with prefix, an exact match first; kind is "alloc",
 * "node", "eval", "deployment", "scaling policy" or "job". RESOLVED: *out is it, as its list shows
 * it (a new reference). RESOLVE_NONE: there is none, and nothing was said. RESOLVE_FAILED: several
 * (listed on stderr), or no answer; it was said. */
enum resolve resolve(struct client *c, const char *kind, const char *prefix, json_t **out);
/* As resolve; says also that there is none. NULL: failed. */
json_t *resolve_or_say(struct client *c, const char *kind, const char *prefix);

/* Among the items of a list, by their IDs: how many begin with prefix; *only is the one, or the
 * exact one. Dashes and case do not count where dashed. For tests too. */
size_t match_prefix(const json_t *list, const char *prefix, bool dashed, json_t **only);

#endif
