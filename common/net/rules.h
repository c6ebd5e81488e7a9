/* What holds however messages travel: by nng, or in the simulator (tests/sim/cluster). Pure. */
#ifndef NET_RULES_H
#define NET_RULES_H

#include "net/net.h"

#define NET_BUDGET_MS 5000 /* of a call that names none */
#define NET_PARKED    4096 /* unanswered requests of a server that names no bound */

/* Cuts "#name" off addr, and says which daemon that is; without it *service stays. */
enum err net_cut_service(char *addr, Pb__Service__Name *service, struct reason *why);

/* After a try that failed: may there be another? sent: it may have arrived. */
bool net_may_retry(uint64_t now_ms, uint64_t until_ms, bool sent, bool retry);
/* How long until then: longer with each try, and within the call's time. */
uint64_t net_retry_delay_ms(uint32_t tries, uint64_t random, uint64_t now_ms, uint64_t until_ms);

/* NULL: there is none of this number. PING is everybody's. */
const struct method *net_find_method(const struct method *methods, uint32_t number);

#endif
