/* Jobs: look at one again. */
#include "client.h"
#include "monitor.h"
#include "show.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *body_of(const struct args *args)
{
    json_t *body = json_pack("{ss,s{sb}}", "JobID", args->items[0], "EvalOptions",
                             "ForceReschedule", args_has(args, "force-reschedule"));
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return text;
}

static int follow(struct client *c, const struct args *args, const char *eval)
{
    struct monitor_options o = {.verbose = args_has(args, "verbose")};
    if (!args_has(args, "detach"))
        return monitor_eval(c, eval, &o, NULL);
    printf("Created eval ID: \"%.*s\" \n", o.verbose ? (int)strlen(eval) : 8, eval);
    return EXIT_OK;
}

static int run_eval(const struct args *args)
{
    struct answer a = {0};
    struct client *c = client_open(args);
    char *path = path_of("/v1/job/", args->items[0], "/evaluate"), *body = body_of(args);
    int code = EXIT_ERROR;
    if (c != NULL && client_call(c, "PUT", path, NULL, body, &a))
        code = a.json == NULL ? answer_refused(&a, "Error evaluating job")
                              : follow(c, args, text_at(a.json, "EvalID"));
    answer_free(&a);
    client_close(c);
    free(body);
    free(path);
    return code;
}

static const struct flag eval_flags[] = {
    {"force-reschedule", FLAG_BOOL, NULL,
     "also place anew what failed and has used up its attempts"},
    {"detach", FLAG_BOOL, NULL, "do not follow the evaluation"},
    {"verbose", FLAG_BOOL, NULL, "whole ids"},
    FLAG_END,
};

const struct command commands_evaluate[] = {
    {"job eval", NULL, "<job>", "have a job looked at again, and follow it", NULL, eval_flags, 1, 1,
     run_eval},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
