/* Deployments: new versions of jobs on their way. */
#include "base/err.h"
#include "client.h"
#include "deployview.h"
#include "monitor.h"
#include "resolve.h"
#include "show.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WHOLE_ID = 36 };

/* ---- list and status */

static int list_deployments(struct client *c, const struct args *args)
{
    struct answer a;
    int code = EXIT_ERROR;
    if (client_get_json(c, &a, "Error retrieving deployments", "/v1/deployments", NULL)) {
        code = EXIT_OK;
        if (args_has(args, "json"))
            print_json(a.json);
        else if (json_array_size(a.json) == 0)
            printf("No deployments found\n");
        else
            print_deployments(a.json, args_has(args, "verbose"), client_colors(c));
    }
    answer_free(&a);
    return code;
}

static int run_list(const struct args *args)
{
    struct client *c = client_open(args);
    int code = c != NULL ? list_deployments(c, args) : EXIT_ERROR;
    client_close(c);
    return code;
}

static json_t *find_by_prefix(struct client *c, const char *text)
{
    json_t *found = NULL;
    if (resolve(c, "deployment", text, &found) == RESOLVE_NONE) {
        fprintf(stderr, "Error retrieving deployment: Deployment ID \"");
        print_clean(stderr, text);
        fprintf(stderr, "\" matched no deployments\n");
    }
    return found;
}

/* The deployment that the text means, whole; NULL: told. */
static json_t *find(struct client *c, const char *text)
{
    struct answer a;
    json_t *found = NULL;
    if (strlen(text) != WHOLE_ID)
        return find_by_prefix(c, text);
    char *path = path_of("/v1/deployment/", text, "");
    if (client_get_json(c, &a, "Error retrieving deployment", path, NULL))
        found = json_incref(a.json);
    answer_free(&a);
    free(path);
    return found;
}

static int run_status(const struct args *args)
{
    struct client *c = client_open(args);
    int code = EXIT_ERROR;
    bool verbose = args_has(args, "verbose");
    if (c != NULL && args->count == 0) {
        code = list_deployments(c, args);
    } else if (c != NULL) {
        json_t *d = find(c, args->items[0]);
        if (d != NULL && args_has(args, "monitor")) {
            code = follow_deployment(c, text_at(d, "ID"),
                                     &(struct follow_options){verbose, .promotion = true});
        } else if (d != NULL) {
            code = EXIT_OK;
            if (args_has(args, "json"))
                print_json(d);
            else
                print_deployment(d, false, verbose, client_colors(c));
        }
        json_decref(d);
    }
    client_close(c);
    return code;
}

/* ---- writes */

/* What one of them asks, and how it is told. */
struct wish {
    const char *verb; /* of the path: "promote" */
    const char *what; /* "Error promoting deployment" */
    const char *done; /* "resumed"; NULL: nothing is said */
    json_t *body;     /* taken */
};

static void tell_done(const struct wish *w, const char *id, const json_t *reply, bool goes_on)
{
    const json_t *reverted = value_at(reply, "RevertedJobVersion");
    if (w->done == NULL)
        return;
    printf("Deployment \"%s\" %s%s\n", id, w->done,
           json_is_integer(reverted) ? show(". Auto-reverted to job version %lld.",
                                            (long long)json_integer_value(reverted))
                                     : "");
    if (goes_on)
        putchar('\n');
}

static int write_deployment(struct client *c, const struct args *args, const char *id,
                            const struct wish *w)
{
    struct answer a;
    struct monitor_options o = {.verbose = args_has(args, "verbose")};
    int code = EXIT_ERROR;
    char *path = path_of(show("/v1/deployment/%s/", w->verb), id, "");
    json_object_set_new(w->body, "DeploymentID", json_string(id));
    char *text = json_dumps(w->body, JSON_COMPACT);
    if (client_call(c, "PUT", path, NULL, text, &a)) {
        const char *eval = text_at(a.json, "EvalID");
        bool goes_on = !args_has(args, "detach") && *eval != '\0';
        if (a.json == NULL) {
            code = answer_refused(&a, w->what);
        } else {
            tell_done(w, id, a.json, goes_on);
            code = goes_on ? monitor_eval(c, eval, &o, NULL) : EXIT_OK;
        }
    }
    answer_free(&a);
    json_decref(w->body);
    free(text);
    free(path);
    return code;
}

static int write_named(const struct args *args, const struct wish *w)
{
    struct client *c = client_open(args);
    json_t *found = c != NULL ? find_by_prefix(c, args->items[0]) : NULL;
    int code = EXIT_ERROR;
    if (found != NULL)
        code = write_deployment(c, args, text_at(found, "ID"), w);
    else
        json_decref(w->body);
    json_decref(found);
    client_close(c);
    return code;
}

/* The groups of each -group; without one: all. */
static json_t *promotion(const struct args *args)
{
    json_t *groups = json_array();
    for (int i = 0; i < args->value_count; i++)
        if (strcmp(args->values[i].flag->name, "group") == 0)
            json_array_append_new(groups, json_string(args->values[i].text));
    return json_pack("{sb,so}", "All", json_array_size(groups) == 0, "Groups", groups);
}

static struct wish promote_wish(const struct args *args)
{
    return (struct wish){"promote", "Error promoting deployment", NULL, promotion(args)};
}

static int run_promote(const struct args *args)
{
    struct wish w = promote_wish(args);
    return write_named(args, &w);
}

static int run_fail(const struct args *args)
{
    return write_named(args,
                       &(struct wish){"fail", "Error failing deployment", "failed", json_object()});
}

static int run_pause(const struct args *args)
{
    return write_named(args, &(struct wish){"pause", "Error pausing deployment", "paused",
                                            json_pack("{sb}", "Pause", 1)});
}

static int run_resume(const struct args *args)
{
    return write_named(args, &(struct wish){"pause", "Error resuming deployment", "resumed",
                                            json_pack("{sb}", "Pause", 0)});
}

static int run_unblock(const struct args *args)
{
    return write_named(
        args, &(struct wish){"unblock", "Error unblocking deployment", "unblocked", json_object()});
}

/* ---- of a job */

/* What the path holds of the job; NULL: told. */
static json_t *of_job(struct client *c, const char *job, const char *after, const char *query)
{
    struct answer a;
    json_t *value = NULL, *found = resolve_or_say(c, "job", job);
    char *path = found != NULL ? path_of("/v1/job/", text_at(found, "ID"), after) : NULL;
    if (path != NULL) {
        if (client_get_json(c, &a, "Error retrieving deployments", path, query))
            value = json_incref(a.json);
        answer_free(&a);
    }
    free(path);
    json_decref(found);
    return value;
}

static int print_latest(struct client *c, const struct args *args)
{
    json_t *d = of_job(c, args->items[0], "/deployment", NULL);
    if (d == NULL)
        return EXIT_ERROR;
    if (args_has(args, "json"))
        print_json(d);
    else if (json_is_object(d))
        print_deployment(d, false, args_has(args, "verbose"), client_colors(c));
    else
        printf("No deployment found\n");
    json_decref(d);
    return EXIT_OK;
}

static int print_of_job(struct client *c, const struct args *args)
{
    json_t *list =
        of_job(c, args->items[0], "/deployments", args_has(args, "all") ? "all=true" : "all=false");
    if (list == NULL)
        return EXIT_ERROR;
    if (args_has(args, "json"))
        print_json(list);
    else if (json_array_size(list) == 0)
        printf("No deployments found\n");
    else
        print_deployments(list, args_has(args, "verbose"), client_colors(c));
    json_decref(list);
    return EXIT_OK;
}

static int run_of_job(const struct args *args)
{
    struct client *c = client_open(args);
    int code = EXIT_ERROR;
    if (c != NULL)
        code = args_has(args, "latest") ? print_latest(c, args) : print_of_job(c, args);
    client_close(c);
    return code;
}

static int run_promote_job(const struct args *args)
{
    struct client *c = client_open(args);
    json_t *d = c != NULL ? of_job(c, args->items[0], "/deployment", NULL) : NULL;
    int code = EXIT_ERROR;
    if (json_is_object(d)) {
        struct wish w = promote_wish(args);
        code = write_deployment(c, args, text_at(d, "ID"), &w);
    } else if (d != NULL) {
        fprintf(stderr, "Job \"");
        print_clean(stderr, args->items[0]);
        fprintf(stderr, "\" has no deployment to promote\n");
    }
    json_decref(d);
    client_close(c);
    return code;
}

static const struct flag list_flags[] = {
    {"verbose", FLAG_BOOL, NULL, "whole ids"},
    {"json", FLAG_BOOL, NULL, "print JSON, for programs"},
    FLAG_END,
};
static const struct flag status_flags[] = {
    {"monitor", FLAG_BOOL, NULL, "follow it to its end"},
    {"verbose", FLAG_BOOL, NULL, "whole ids"},
    {"json", FLAG_BOOL, NULL, "print JSON, for programs"},
    FLAG_END,
};
static const struct flag write_flags[] = {
    {"detach", FLAG_BOOL, NULL, "do not follow the evaluation"},
    {"verbose", FLAG_BOOL, NULL, "whole ids"},
    FLAG_END,
};
static const struct flag promote_flags[] = {
    {"group", FLAG_TEXT, "GROUP", "only this task group; may be given several times"},
    {"detach", FLAG_BOOL, NULL, "do not follow the evaluation"},
    {"verbose", FLAG_BOOL, NULL, "whole ids"},
    FLAG_END,
};
static const struct flag of_job_flags[] = {
    {"latest", FLAG_BOOL, NULL, "only the newest, with its task groups"},
    {"all", FLAG_BOOL, NULL, "also those of an earlier job of the same name"},
    {"verbose", FLAG_BOOL, NULL, "whole ids"},
    {"json", FLAG_BOOL, NULL, "print JSON, for programs"},
    FLAG_END,
};

const struct command commands_deployment[] = {
    {"deployment list", NULL, "", "all deployments, the newest first", NULL, list_flags, 0, 0,
     run_list},
    {"deployment status", NULL, "[deployment]", "how far a deployment is",
     "With -monitor it exits 0 if the deployment was successful, else 1.", status_flags, 0, 1,
     run_status},
    {"deployment promote", NULL, "<deployment>", "let its canaries replace what runs", NULL,
     promote_flags, 1, 1, run_promote},
    {"deployment fail", NULL, "<deployment>", "end it as failed",
     "A group with auto_revert takes the job back to its newest stable version.", write_flags, 1, 1,
     run_fail},
    {"deployment pause", NULL, "<deployment>", "place and replace nothing for now", NULL,
     write_flags, 1, 1, run_pause},
    {"deployment resume", NULL, "<deployment>", "go on with one that is paused", NULL, write_flags,
     1, 1, run_resume},
    {"deployment unblock", NULL, "<deployment>",
     "go on with one that waits for other regions: there are none", NULL, write_flags, 1, 1,
     run_unblock},
    {"job deployments", NULL, "<job>", "the deployments of a job", NULL, of_job_flags, 1, 1,
     run_of_job},
    {"job promote", NULL, "<job>", "promote the newest deployment of a job", NULL, promote_flags, 1,
     1, run_promote_job},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
