/* Writes that register a job, in one way or another. */
#ifndef GATEWAY_REGISTER_H
#define GATEWAY_REGISTER_H

#include "command.pb-c.h"
#include "routes.h"

/* Sends it, and answers as a registration is answered. warnings live as long as the exchange. */
void job_write(struct call_context *c, const Pb__Command *command, const char *warnings);

#endif
