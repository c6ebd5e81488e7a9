/* What a request's body holds, read with the tolerance of Go's decoder: keys match whatever their
 * case, null is as if not there. */
#ifndef GATEWAY_BODY_H
#define GATEWAY_BODY_H

#include "routes.h"
#include <jansson.h>

/* The body as an object, the caller's to release. NULL: answered, with that status. */
json_t *body_object(struct call_context *c, unsigned status);
/* NULL: not there. */
json_t *body_member(const json_t *object, const char *name);
/* As Go's errors call it: "array", "number". */
const char *body_kind(const json_t *v);

#endif
