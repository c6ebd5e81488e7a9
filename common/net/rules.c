#include "net/rules.h"
#include <string.h>

#define RETRY_MIN_MS 10
#define RETRY_MAX_MS 1000
/* A timeout earlier than this before the end is the transport's, not ours. */
#define NEARLY_OVER_MS 3

enum err net_cut_service(char *addr, Pb__Service__Name *service, struct reason *why)
{
    static const char *const names[] = {
        [PB__SERVICE__NAME__JOBSTORE] = "jobstore",
        [PB__SERVICE__NAME__JOBSTORE_POLL] = "jobstore-poll",
        [PB__SERVICE__NAME__EVALBROKER] = "evalbroker",
        [PB__SERVICE__NAME__PLANQUEUE] = "planqueue",
        [PB__SERVICE__NAME__CONTROLLER] = "controller",
        [PB__SERVICE__NAME__GOSSIP] = "gossip",
    };
    char *name = strchr(addr, '#');
    if (name == NULL)
        return OK;
    *name++ = '\0';
    for (unsigned i = PB__SERVICE__NAME__JOBSTORE; i < COUNT_OF(names); i++)
        if (strcmp(names[i], name) == 0) {
            *service = (Pb__Service__Name)i;
            return OK;
        }
    return reason_set(why, ERR_INVALID,
                      "dial %s: there is no daemon \"%s\"; behind a # stands one of jobstore, "
                      "jobstore-poll, evalbroker, planqueue, controller, gossip",
                      addr, name);
}

bool net_may_retry(uint64_t now_ms, uint64_t until_ms, bool sent, bool retry)
{
    return now_ms + NEARLY_OVER_MS < until_ms && (!sent || retry);
}

uint64_t net_retry_delay_ms(uint32_t tries, uint64_t random, uint64_t now_ms, uint64_t until_ms)
{
    uint64_t delay = RETRY_MIN_MS << (tries < 8 ? tries : 8);
    delay = delay > RETRY_MAX_MS ? RETRY_MAX_MS : delay;
    delay = delay / 2 + random % (delay / 2 + 1);
    return now_ms + delay >= until_ms ? until_ms - now_ms : delay;
}

const struct method *net_find_method(const struct method *methods, uint32_t number)
{
    static const struct method ping = {PB__DAEMON__METHOD__PING, "ping", &pb__empty__descriptor,
                                       NULL};
    if (number == ping.number)
        return &ping;
    for (const struct method *m = methods; m->name != NULL; m++)
        if (m->number == number)
            return m;
    return NULL;
}
