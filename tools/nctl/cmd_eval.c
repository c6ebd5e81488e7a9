/* Evaluations. */
#include "client.h"
#include "monitor.h"
#include "resolve.h"
#include "show.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *id_or_none(const json_t *eval, const char *key)
{
    return *text_at(eval, key) != '\0' ? text_at(eval, key) : "<none>";
}

static void print_eval(const json_t *eval, bool verbose, bool colors)
{
    const json_t *failed = value_at(eval, "FailedTGAllocs");
    const char *status = text_at(eval, "Status"), *description = text_at(eval, "StatusDescription");
    bool ended = strcmp(status, "blocked") != 0 && strcmp(status, "pending") != 0;
    struct table t;
    pairs_init(&t, colors);
    pairs_add(&t, "ID", "%s", show_id(text_at(eval, "ID"), verbose));
    pairs_add(&t, "Create Time", "%s", show_time(number_at(eval, "CreateTime"), verbose));
    pairs_add(&t, "Modify Time", "%s", show_time(number_at(eval, "ModifyTime"), verbose));
    pairs_add(&t, "Status", "%s", status);
    pairs_add(&t, "Status Description", "%s", *description != '\0' ? description : status);
    pairs_add(&t, "Type", "%s", text_at(eval, "Type"));
    pairs_add(&t, "TriggeredBy", "%s", text_at(eval, "TriggeredBy"));
    if (*text_at(eval, "JobID") != '\0')
        pairs_add(&t, "Job ID", "%s", text_at(eval, "JobID"));
    if (*text_at(eval, "NodeID") != '\0')
        pairs_add(&t, "Node ID", "%s", show_id(text_at(eval, "NodeID"), verbose));
    pairs_add(&t, "Priority", "%lld", (long long)number_at(eval, "Priority"));
    pairs_add(&t, "Placement Failures", "%s",
              !ended                         ? "N/A - In Progress"
              : json_object_size(failed) > 0 ? "true"
                                             : "false");
    if (verbose) {
        pairs_add(&t, "Previous Eval", "%s", id_or_none(eval, "PreviousEval"));
        pairs_add(&t, "Next Eval", "%s", id_or_none(eval, "NextEval"));
        pairs_add(&t, "Blocked Eval", "%s", id_or_none(eval, "BlockedEval"));
    }
    table_print(&t, stdout);
    table_free(&t);
    if (json_object_size(failed) == 0)
        return;
    print_section(stdout, colors, "Failed Placements");
    print_placement_failures(failed, "", true);
    if (*text_at(eval, "BlockedEval") != '\0')
        printf("\nEvaluation \"%s\" waiting for additional capacity to place remainder\n",
               show_id(text_at(eval, "BlockedEval"), verbose));
}

static int show_eval(struct client *c, const struct args *args, const char *id)
{
    struct answer a;
    char *path = path_of("/v1/evaluation/", id, "");
    int code = EXIT_ERROR;
    if (client_get_json(c, &a, "Error querying evaluation", path, NULL)) {
        code = EXIT_OK;
        if (args_has(args, "json"))
            print_json(a.json);
        else
            print_eval(a.json, args_has(args, "verbose"), client_colors(c));
    }
    answer_free(&a);
    free(path);
    return code;
}

static int list_evals(struct client *c, const struct args *args)
{
    struct answer a;
    int code = EXIT_ERROR;
    if (!args_has(args, "json")) {
        fprintf(stderr, "which evaluation? Give its id, or -json for all of them.\n"
                        "For help try \"nctl eval status --help\".\n");
        return code;
    }
    if (client_get_json(c, &a, "Error querying evaluations", "/v1/evaluations", NULL))
        code = EXIT_OK, print_json(a.json);
    answer_free(&a);
    return code;
}

static int run_status(const struct args *args)
{
    struct client *c = client_open(args);
    struct monitor_options o = {.verbose = args_has(args, "verbose")};
    int code = EXIT_ERROR;
    if (c != NULL && args->count == 0)
        code = list_evals(c, args);
    else if (c != NULL) {
        json_t *found = resolve_or_say(c, "eval", args->items[0]);
        if (found != NULL && args_has(args, "monitor"))
            code = monitor_eval(c, text_at(found, "ID"), &o, NULL);
        else if (found != NULL)
            code = show_eval(c, args, text_at(found, "ID"));
        json_decref(found);
    }
    client_close(c);
    return code;
}

static const struct flag status_flags[] = {
    {"monitor", FLAG_BOOL, NULL, "follow it to its end; exits 2 if not all could be placed"},
    {"verbose", FLAG_BOOL, NULL, "whole ids and exact times; also related evaluations"},
    {"json", FLAG_BOOL, NULL, "print the evaluation, or without an id all of them, as JSON"},
    FLAG_END,
};

const struct command commands_eval[] = {
    {"eval status", "eval-status", "[eval]", "an evaluation, and what it could not place", NULL,
     status_flags, 0, 1, run_status},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
