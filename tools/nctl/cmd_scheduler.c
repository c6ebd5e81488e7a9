/* Operators: how jobs are scheduled. */
#include "client.h"
#include "show.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OVERSUBSCRIPTION "MemoryOversubscriptionEnabled"
#define CONFIGURATION    "/v1/operator/scheduler/configuration"

static const struct {
    const char *flag, *key, *title;
} switches[] = {
    {"preempt-system-scheduler", "SystemSchedulerEnabled", "Preemption System Scheduler"},
    {"preempt-service-scheduler", "ServiceSchedulerEnabled", "Preemption Service Scheduler"},
    {"preempt-batch-scheduler", "BatchSchedulerEnabled", "Preemption Batch Scheduler"},
    {"preempt-sysbatch-scheduler", "SysBatchSchedulerEnabled", "Preemption SysBatch Scheduler"},
};
#define SWITCHES (sizeof switches / sizeof switches[0])

static void print_config(const json_t *config, bool colors)
{
    struct table t;
    pairs_init(&t, colors);
    pairs_add(&t, "Scheduler Algorithm", "%s", text_at(config, "SchedulerAlgorithm"));
    pairs_add(&t, "Memory Oversubscription", "%s",
              flag_at(config, OVERSUBSCRIPTION) ? "true" : "false");
    for (size_t i = 0; i < SWITCHES; i++)
        pairs_add(&t, switches[i].title, "%s",
                  flag_at(value_at(config, "PreemptionConfig"), switches[i].key) ? "true"
                                                                                 : "false");
    pairs_add(&t, "Modify Index", "%lld", (long long)number_at(config, "ModifyIndex"));
    table_print(&t, stdout);
    table_free(&t);
}

/* What the flag says of this key, if it is given. False: said. */
static bool change_switch(json_t *object, const char *key, const struct args *args,
                          const char *flag)
{
    const char *text = args_text(args, flag, "");
    bool yes = strcmp(text, "true") == 0;
    if (*text == '\0')
        return true;
    if (!yes && strcmp(text, "false") != 0) {
        fprintf(stderr, "-%s is true or false, not \"%s\"\n", flag, text);
        return false;
    }
    json_object_set_new(object, key, json_boolean(yes));
    return true;
}

/* What the flags say, over what there is. False: said. */
static bool change(json_t *config, const struct args *args)
{
    json_t *p = value_at(config, "PreemptionConfig");
    const char *algorithm = args_text(args, "scheduler-algorithm", "");
    if (*algorithm != '\0')
        json_object_set_new(config, "SchedulerAlgorithm", json_string(algorithm));
    for (size_t i = 0; i < SWITCHES; i++)
        if (!change_switch(p, switches[i].key, args, switches[i].flag))
            return false;
    return change_switch(config, OVERSUBSCRIPTION, args, "memory-oversubscription");
}

/* Only if nobody else has changed it since it was read. */
static int send_config(struct client *c, const json_t *config)
{
    struct answer a;
    char query[64], *text = json_dumps(config, JSON_COMPACT);
    int code = EXIT_ERROR;
    snprintf(query, sizeof query, "cas=%lld", (long long)number_at(config, "ModifyIndex"));
    if (client_call(c, "PUT", CONFIGURATION, query, text, &a)) {
        if (a.json == NULL)
            answer_refused(&a, "Error setting scheduler configuration");
        else if (!flag_at(a.json, "Updated"))
            fprintf(stderr, "Scheduler configuration could not be atomically updated, please try "
                            "again\n");
        else
            code = EXIT_OK, printf("Scheduler configuration updated!\n");
    }
    answer_free(&a);
    free(text);
    return code;
}

static int show_config(struct client *c, const struct args *args, const json_t *answer)
{
    if (args_has(args, "json"))
        print_json(answer);
    else
        print_config(value_at(answer, "SchedulerConfig"), client_colors(c));
    return EXIT_OK;
}

static int with_config(const struct args *args, bool set)
{
    struct client *c = client_open(args);
    struct answer a;
    int code = EXIT_ERROR;
    if (c == NULL)
        return code;
    if (client_get_json(c, &a, "Error querying scheduler configuration", CONFIGURATION, NULL)) {
        json_t *config = value_at(a.json, "SchedulerConfig");
        if (!set)
            code = show_config(c, args, a.json);
        else if (change(config, args))
            code = send_config(c, config);
    }
    answer_free(&a);
    client_close(c);
    return code;
}

static int run_get(const struct args *args)
{
    return with_config(args, false);
}

static int run_set(const struct args *args)
{
    return with_config(args, true);
}

static const struct flag get_flags[] = {
    {"json", FLAG_BOOL, NULL, "print the server's answer as JSON"},
    FLAG_END,
};
static const struct flag set_flags[] = {
    {"scheduler-algorithm", FLAG_TEXT, "NAME",
     "binpack (full nodes first) or spread (empty ones), where a job says nothing"},
    {"memory-oversubscription", FLAG_TEXT, "BOOL",
     "may tasks use memory up to their memory_max? (of those placed from then on)"},
    {"preempt-service-scheduler", FLAG_TEXT, "BOOL",
     "may service jobs displace others, whose priority is at least 10 lower?"},
    {"preempt-batch-scheduler", FLAG_TEXT, "BOOL", "may batch jobs?"},
    {"preempt-system-scheduler", FLAG_TEXT, "BOOL",
     "may system jobs? (they may unless told not to)"},
    {"preempt-sysbatch-scheduler", FLAG_TEXT, "BOOL", "may sysbatch jobs?"},
    FLAG_END,
};

const struct command commands_scheduler[] = {
    {"operator scheduler get-config", NULL, "", "how jobs are scheduled", NULL, get_flags, 0, 0,
     run_get},
    {"operator scheduler set-config", NULL, "", "change how jobs are scheduled",
     "What is not named stays as it is.", set_flags, 0, 0, run_set},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
