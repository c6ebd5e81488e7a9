#include "rescheduleview.h"
#include "base/clock.h"
#include "show.h"
#include <stdlib.h>
#include <string.h>

static const json_t *policy_of(const json_t *alloc)
{
    size_t i;
    json_t *group;
    json_array_foreach(value_at(value_at(alloc, "Job"), "TaskGroups"), i, group)
    {
        if (strcmp(text_at(group, "Name"), text_at(alloc, "TaskGroup")) == 0)
            return value_at(group, "ReschedulePolicy");
    }
    return NULL;
}

static void add_attempts(struct table *t, const json_t *alloc)
{
    const json_t *policy = policy_of(alloc);
    const json_t *events = value_at(value_at(alloc, "RescheduleTracker"), "Events");
    int64_t most = number_at(policy, "Attempts");
    int64_t since = number_at(alloc, "ModifyTime") - number_at(policy, "Interval");
    long long attempts = 0;
    size_t i;
    json_t *event;
    if (most <= 0 || flag_at(policy, "Unlimited") || json_array_size(events) == 0)
        return;
    json_array_foreach((json_t *)(uintptr_t)events, i, event)
    {
        attempts += number_at(event, "RescheduleTime") > since;
    }
    pairs_add(t, "Reschedule Attempts", "%lld/%lld", attempts, (long long)most);
}

static void add_eligibility(struct client *c, struct table *t, const json_t *alloc)
{
    const char *eval = text_at(alloc, "FollowupEvalID");
    struct answer a;
    if (*eval == '\0' || strcmp(text_at(alloc, "DesiredStatus"), "run") != 0)
        return;
    char *path = path_of("/v1/evaluation/", eval, "");
    if (client_get(c, &a, path, NULL) && a.json != NULL) {
        int64_t wait = time_parse(text_at(a.json, "WaitUntil")) - clock_wall_ns();
        if (wait > 0)
            pairs_add(t, "Reschedule Eligibility", "%s from now", show_seconds(wait / 1000000000));
    }
    answer_free(&a);
    free(path);
}

void add_reschedule(struct client *c, struct table *t, const json_t *alloc)
{
    add_attempts(t, alloc);
    add_eligibility(c, t, alloc);
}
