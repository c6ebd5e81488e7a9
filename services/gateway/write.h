/* Commands of clients: asked for, then answered by what they did. */
#ifndef GATEWAY_WRITE_H
#define GATEWAY_WRITE_H

#include "command.pb-c.h"
#include "routes.h"
#include <jansson.h>

/* The request's body is no longer needed. done's owner is c. */
void write_command(struct call_context *c, const Pb__Command *command, response_fn *done);
/* What the command did. NULL: nothing, and the client was told why; where what it names is not
 * there, with the status `missing`. */
const Pb__Outcome *write_applied(struct call_context *c, const struct response *r,
                                 unsigned missing);
/* 200, at that index; takes tree. */
void write_answer(struct call_context *c, uint64_t index, json_t *tree);

#endif
