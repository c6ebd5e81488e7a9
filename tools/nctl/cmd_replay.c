/* Evaluations: plan one again. */
#include "client.h"
#include "planview.h"
#include "resolve.h"
#include "show.h"
#include <stdio.h>
#include <stdlib.h>

static void print_verdict(const json_t *r)
{
    const json_t *differences = value_at(r, "Differences");
    if (flag_at(r, "Same")) {
        printf("The same plan as was made then.\n");
        return;
    }
    printf("NOT the plan that was made then:\n");
    for (size_t i = 0; i < json_array_size(differences); i++) {
        printf("  ");
        print_clean(stdout, json_string_value(json_array_get(differences, i)));
        printf("\n");
    }
}

static void print_replay(const json_t *r, bool verbose, bool colors)
{
    struct table t;
    const json_t *eval = value_at(r, "Evaluation");
    pairs_init(&t, colors);
    pairs_add(&t, "Evaluation ID", "%s", show_id(text_at(eval, "ID"), verbose));
    pairs_add(&t, "Job ID", "%s", text_at(r, "JobID"));
    pairs_add(&t, "Triggered By", "%s", text_at(eval, "TriggeredBy"));
    pairs_add(&t, "State Index", "%lld", (long long)number_at(r, "Index"));
    pairs_add(&t, "Plans Kept", "%lld", (long long)number_at(r, "Plans"));
    table_print(&t, stdout);
    table_free(&t);
    printf("\n");
    replay_print_plan(r, verbose, colors);
    printf("\n");
    print_verdict(r);
}

static int replay(struct client *c, const struct args *args, const char *id)
{
    struct answer a;
    char *path = path_of("/v1/evaluation/", id, "/replay");
    int code = EXIT_ERROR;
    if (client_get_json(c, &a, "Error replaying evaluation", path, NULL)) {
        code = flag_at(a.json, "Same") ? EXIT_OK : EXIT_ERROR;
        if (args_has(args, "json"))
            print_json(a.json);
        else
            print_replay(a.json, args_has(args, "verbose"), client_colors(c));
    }
    answer_free(&a);
    free(path);
    return code;
}

static int run_replay(const struct args *args)
{
    struct client *c = client_open(args);
    json_t *found = c != NULL ? resolve_or_say(c, "eval", args->items[0]) : NULL;
    int code = found != NULL ? replay(c, args, text_at(found, "ID")) : EXIT_ERROR;
    json_decref(found);
    client_close(c);
    return code;
}

static const struct flag replay_flags[] = {
    {"verbose", FLAG_BOOL, NULL, "whole ids"},
    {"json", FLAG_BOOL, NULL, "print the answer as JSON"},
    FLAG_END,
};

const struct command commands_replay[] = {
    {"eval replay", NULL, "<eval>", "plan an evaluation again, on the state it was planned on",
     "Each scheduler keeps its last plans with all that they were made from, until it is stopped\n"
     "(replay_plans). The last plan of the evaluation is made again from that and compared with\n"
     "the one that was made then. Exits 1 if they differ.",
     replay_flags, 1, 1, run_replay},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
