/* What networks this machine can make: tasknet tries. */
#include "fingerprint.h"
#include "networks.h"
#include "program.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PROBE_TIMEOUT_MS 10000
#define PROBE_MOST       65536

static void add_network(struct arena *a, Pb__Node *node, const char *mode, const char *device)
{
    Pb__NodeNetwork **list = arena_array(a, Pb__NodeNetwork *, node->n_networks + 1);
    Pb__NodeNetwork *n = arena_alloc(a, sizeof *n);
    if (node->n_networks > 0)
        memcpy(list, node->networks, node->n_networks * sizeof *list);
    pb__node_network__init(n);
    n->mode = arena_strdup(a, mode);
    n->device = arena_strdup(a, device);
    list[node->n_networks++] = n;
    node->networks = list;
}

static enum err probe(const struct networks_options *o, const char *verb, struct strbuf *said,
                      struct reason *why)
{
    const char *argv[] = {o->tasknet,        "--bridge",   o->bridge,   "--subnet",
                          o->subnet,         "--cni-path", o->cni_path, "--cni-config-dir",
                          o->cni_config_dir, verb,         NULL};
    if (geteuid() != 0)
        return reason_set(why, ERR_DENIED, "the agent does not run as root");
    return program_run((char *const *)(uintptr_t)argv, PROBE_TIMEOUT_MS, PROBE_MOST, said, why);
}

/* It prints the modes that work, then "ok" or why the next does not. True: namespaces work. */
static bool try_bridge(const struct networks_options *o, struct arena *a, Pb__Node *node)
{
    struct strbuf said = STRBUF_INIT;
    struct reason why;
    bool spaces = false;
    if (probe(o, "probe", &said, &why) == OK) {
        const char *text = strbuf_text(&said);
        spaces = strncmp(text, "none\n", 5) == 0;
        if (spaces) {
            add_network(a, node, "none", "");
            text += 5;
        }
        snprintf(why.text, sizeof why.text, "%.*s", (int)strcspn(text, "\n"), text);
    }
    if (strcmp(why.text, "ok") == 0) {
        add_network(a, node, "bridge", o->bridge);
        fingerprint_set(a, node, "network.bridge", "1");
    } else {
        fingerprint_set(a, node, "network.bridge.unhealthy", why.text);
    }
    strbuf_free(&said);
    return spaces;
}

static void note_line(struct arena *a, Pb__Node *node, char *line)
{
    char *word = strsep(&line, " "), *name = strsep(&line, " ");
    if (name == NULL)
        return;
    if (strcmp(word, "network") == 0)
        add_network(a, node, arena_printf(a, "cni/%s", name), "");
    else if (strcmp(word, "plugin") == 0 && line != NULL)
        fingerprint_set(a, node, arena_printf(a, "plugins.cni.version.%s", name), line);
    else if (strcmp(word, "unusable") == 0 && line != NULL) {
        name[strcspn(name, ":")] = '\0';
        fingerprint_set(a, node, arena_printf(a, "network.cni.unusable.%s", name), line);
    }
}

/* Plugins are programs of others, which take their time: only those that a configuration names are
 * asked what they are. */
static void look_at_plugins(const struct networks_options *o, struct arena *a, Pb__Node *node)
{
    struct strbuf said = STRBUF_INIT;
    struct reason why;
    if (access(o->cni_config_dir, R_OK) != 0)
        return;
    if (probe(o, "plugins", &said, &why) == OK) {
        char *rest = arena_strdup(a, strbuf_text(&said)), *line;
        while ((line = strsep(&rest, "\n")) != NULL)
            note_line(a, node, line);
    } else {
        fingerprint_set(a, node, "network.cni.unusable", why.text);
    }
    strbuf_free(&said);
}

void networks_fingerprint(const struct networks_options *o, struct arena *a, Pb__Node *node)
{
    if (try_bridge(o, a, node))
        look_at_plugins(o, a, node);
}
