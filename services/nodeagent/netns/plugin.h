/* Runs a plugin of CNI: a program with variables, JSON on its standard input and JSON back. */
#ifndef NODEAGENT_NETNS_PLUGIN_H
#define NODEAGENT_NETNS_PLUGIN_H

#include "base/err.h"
#include "base/strbuf.h"

struct plugin_call {
    const char *path; /* directories with commas or colons between */
    const char *plugin;
    const char *command; /* ADD, DEL, CHECK, VERSION */
    const char *id, *netns, *args;
    const char *input;
};

/* What it printed is added to out. Waits for its end, however long that takes: whoever runs us has
 * a deadline. */
enum err plugin_run(const struct plugin_call *c, struct strbuf *out, struct reason *why);
/* ERR_NOT_FOUND: in none of the directories. */
enum err plugin_find(const char *path, const char *plugin, char *out, size_t size,
                     struct reason *why);

#endif
