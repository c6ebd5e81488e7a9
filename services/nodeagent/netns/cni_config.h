/* CNI's network configurations and what a plugin is asked, after the CNI specification, versions
 * 0.3.0 to 1.0.0. JSON in, JSON out; nothing is run here. */
#ifndef NODEAGENT_NETNS_CNI_CONFIG_H
#define NODEAGENT_NETNS_CNI_CONFIG_H

#include "base/err.h"
#include "netplace.h"
#include <jansson.h>
#include <stdbool.h>

enum { CNI_TEXT_MOST = 65536, CNI_PLUGINS_MOST = 16 };

/* A list of plugins, {"name", "cniVersion", "plugins": [{"type"}...]}; of a file for one plugin a
 * list of that one. What comes out has usable names and types. NULL: why says what is wrong. */
json_t *cni_parse(const char *text, size_t len, struct reason *why);
bool cni_name_is_usable(const char *name); /* of networks and plugins: part of paths */

/* What plugins may be told of an allocation: portMappings, and ips if args has "IP=". */
json_t *cni_runtime(const struct netplace *p, const char *args);
/* For the standard input of plugin i of a list. previous: what the one before it said; NULL: none.
 * The text is of malloc. */
char *cni_request(const json_t *list, size_t i, const json_t *previous, const json_t *runtime);
/* From 0.4.0 on there is CHECK, and DEL is told what ADD said. */
bool cni_has_check(const json_t *list);
/* What a plugin printed that failed, as a sentence. */
void cni_failure(const char *plugin, const char *command, const char *text, size_t len,
                 struct reason *why);

#endif
