/* Who we are to a registry. */
#ifndef NODEAGENT_DOCK_AUTH_H
#define NODEAGENT_DOCK_AUTH_H

#include "base/err.h"
#include <jansson.h>

/* Behind the last slash, or a digest behind @; NULL: neither. */
const char *image_tag(const char *image);
/* The key of an image's registry in a file of docker's: "https://index.docker.io/v1/" where it
 * names none. */
void image_registry(const char *image, char out[256]);

/* What the engine is to be told, base64 for its header: by spec's "auth", else by the file that it
 * names as "config", or by the helper that the file names. *out NULL: nothing. ERR_UNAVAILABLE: the
 * file cannot be used, or its helper failed. */
enum err auth_of(const json_t *spec, const char *image, char **out, struct reason *why);
/* What a file as docker login writes it has for the registry: a new {"username", "password",
 * "serveraddress"}; NULL: nothing, or nothing of use. Pure. */
json_t *auth_in_file(const json_t *file, const char *registry);
/* The helper (credentials.h) that such a file names for the registry, borrowed; NULL: none. Pure.
 */
const char *auth_helper(const json_t *file, const char *registry);
/* Overwrites it first. */
void auth_free(char *auth);

#endif
