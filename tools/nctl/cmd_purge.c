/* Nodes, as an operator sets them right: looked at again, or forgotten. */
#include "client.h"
#include "resolve.h"
#include "show.h"
#include <stdio.h>
#include <stdlib.h>

static void print_evals(const json_t *ids)
{
    size_t i;
    json_t *id;
    json_array_foreach((json_t *)(uintptr_t)ids, i, id)
        printf("Created evaluation \"%s\"\n", json_string_value(id));
}

/* verb: what the path ends with. */
static int change_node(const struct args *args, const char *verb, const char *what,
                       const char *done)
{
    struct client *c = client_open(args);
    struct answer a = {0};
    int code = EXIT_ERROR;
    json_t *node = c != NULL ? resolve_or_say(c, "node", args->items[0]) : NULL;
    char *path = path_of("/v1/node/", text_at(node, "ID"), verb);
    if (node != NULL && client_call(c, "PUT", path, NULL, NULL, &a)) {
        code = a.json != NULL ? EXIT_OK : answer_refused(&a, what);
        if (code == EXIT_OK) {
            printf("Node \"%s\" %s\n", text_at(node, "ID"), done);
            print_evals(value_at(a.json, "EvalIDs"));
        }
    }
    answer_free(&a);
    free(path);
    json_decref(node);
    client_close(c);
    return code;
}

static int run_evaluate(const struct args *args)
{
    return change_node(args, "/evaluate", "Error evaluating node", "evaluated");
}

static int run_purge(const struct args *args)
{
    return change_node(args, "/purge", "Error purging node", "purged");
}

const struct command commands_purge[] = {
    {"node evaluate", NULL, "<node>", "have all jobs of a node looked at again", NULL, NULL, 1, 1,
     run_evaluate},
    {"node purge", NULL, "<node>", "forget a node that will not come back",
     "What ran there is lost, and replaced elsewhere. A node whose agent still runs registers "
     "itself again.",
     NULL, 1, 1, run_purge},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
