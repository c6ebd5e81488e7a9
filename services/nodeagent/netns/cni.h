/* Networks by the plugins of CNI: configurations in a directory, a chain of plugins for each. What
 * was asked and answered is kept beside the allocation's namespace (cni.json), so that it can be
 * taken back by whoever finds it. */
#ifndef NODEAGENT_NETNS_CNI_H
#define NODEAGENT_NETNS_CNI_H

#include "base/err.h"
#include "netplace.h"

struct cni {
    const char *dir;         /* of namespaces */
    const char *path;        /* where plugins are: with commas or colons between */
    const char *config_dir;  /* where configurations are */
    const char *name, *args; /* of the network that is to be added */
};

/* The namespace is there. On success *result is the last plugin's answer, of malloc. */
enum err cni_add(const struct cni *c, const struct netplace *p, char **result, struct reason *why);
/* Nothing was added: OK. Goes on to the first plugin when one fails; it can be asked again then. */
enum err cni_remove(const struct cni *c, const char *id, struct reason *why);
enum err cni_check(const struct cni *c, const char *id, struct reason *why);
/* Prints a line for each configuration, "network NAME" or "unusable FILE: why", and one for each
 * plugin that they name: "plugin NAME VERSION", the newest version of CNI that it speaks. */
void cni_print(const struct cni *c);

#endif
