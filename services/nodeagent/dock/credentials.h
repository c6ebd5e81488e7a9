/* Programs docker-credential-NAME, which know who we are to a registry so that no password need be
 * in a file. Their protocol is docker's: the registry on standard input, an object on standard
 * output; with exit code 1 a line instead. */
#ifndef NODEAGENT_DOCK_CREDENTIALS_H
#define NODEAGENT_DOCK_CREDENTIALS_H

#include "base/err.h"
#include <jansson.h>

/* A new {"username", "password"} or {"identitytoken"}, each with "serveraddress"; NULL: it is not
 * what a helper says. Pure. */
json_t *credentials_read(const char *text, const char *registry);
/* Asks docker-credential-NAME of the search path. *out NULL: it knows nothing of the registry.
 * ERR_UNAVAILABLE: it is not there, failed, said something else, or took more than 30 s and was
 * killed; ERR_INVALID: it has no name of a program. */
enum err credentials_ask(const char *name, const char *registry, json_t **out, struct reason *why);

#endif
