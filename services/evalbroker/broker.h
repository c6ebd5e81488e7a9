/* Pending and blocked evaluations in memory: who may have which, when, and how often. A fold over
 * jobstore's changes feed; knows neither sockets nor workers' names, and gets the time as an
 * argument.
 *
 * Of one job at most one evaluation is in the job's slot: ready, out at a worker, or between the
 * two. Of those that come later the newest waits and the others are cancelled, since whichever is
 * planned next sees all that happened before. A blocked evaluation waits outside the slot until
 * capacity that may fit it appears; of a job the newest one counts.
 *
 * What the broker wants changed in the state (cancelled, failed) it proposes by
 * broker_take_updates, and believes only when the feed shows it. An evaluation whose status in the
 * feed is terminal is forgotten at once and never handed out. Every operation is O(log n), but
 * broker_reached, which looks at every blocked evaluation when capacity has changed. */
#ifndef EVALBROKER_BROKER_H
#define EVALBROKER_BROKER_H

#include "base/arena.h"
#include "command.pb-c.h"
#include "evalbroker.pb-c.h"
#include "types.pb-c.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct broker;

struct broker_settings {
    uint64_t ack_timeout_ms; /* a silent worker loses its evaluation after this */
    uint64_t nack_delay_ms;  /* a refused one comes back after this, doubled each further time */
    uint64_t
        settle_ms; /* an acked one that the feed still shows as pending comes back after this */
    uint64_t follow_up_delay_ms; /* of the evaluation that follows a failed one; doubled for each
                                    predecessor, up to 16 times */
    uint32_t max_deliveries;     /* then it fails */
    size_t
        max_evals; /* tracked at once; beyond it they stay in the state until broker_wants_reload */
    uint64_t
        token_seed; /* differs at every start, so that tokens of an earlier life mean nothing */
};

/* Now, on both clocks: mono_ms runs the timers, wall_ns is what wait_until is compared with. */
struct moment {
    uint64_t mono_ms;
    int64_t wall_ns;
};

struct broker *broker_new(const struct broker_settings *s);
void broker_free(struct broker *b);

/* ---- the feed: present values, in order of their index */

void broker_put_eval(struct broker *b, const Pb__Eval *eval, struct moment now);
void broker_drop_eval(struct broker *b, const uint8_t id[16], struct moment now);
void broker_put_node(struct broker *b, const Pb__Node *node);
void broker_drop_node(struct broker *b, const uint8_t id[16]);
void broker_put_usage(struct broker *b, const Pb__NodeUsage *usage);
/* Everything up to index has been told: wakes what new capacity may fit, and settles what was acked
 * before it. */
void broker_reached(struct broker *b, uint64_t index, struct moment now);
/* Around a full listing: what is not put between the two is gone. What is out at workers stays out.
 */
void broker_reload_begin(struct broker *b);
void broker_reload_end(struct broker *b, struct moment now);
/* There was no room for some, and now there is: list again. */
bool broker_wants_reload(const struct broker *b);

/* ---- workers */

struct delivery {
    uint64_t token;
    uint32_t attempt;    /* from 1 */
    uint64_t min_index;  /* plan on a view at least this new */
    const uint8_t *eval; /* packed Pb__Eval; borrowed until the next call on b */
    size_t eval_len;
};

/* Hands the most urgent ready evaluation of these types to owner: highest priority, then oldest.
 * False: none is ready. owner is whatever names the worker's connection. */
bool broker_dequeue(struct broker *b, char *const *types, size_t type_count, uint64_t owner,
                    struct moment now, struct delivery *out);
size_t broker_ready(const struct broker *b, char *const *types, size_t type_count);

/* The worker is through with it, by a commit at index (0: unknown). False: the token is not that of
 * a delivery which is out; nothing changes. */
bool broker_ack(struct broker *b, const uint8_t id[16], uint64_t token, uint64_t index,
                struct moment now);
/* The worker cannot: again later, or failed after the last delivery. */
bool broker_nack(struct broker *b, const uint8_t id[16], uint64_t token, struct moment now);
/* The connection has ended: what it holds is ready again at once. Only after three times
 * max_deliveries such ends does an evaluation fail. */
void broker_owner_gone(struct broker *b, uint64_t owner, struct moment now);

/* ---- time */

void broker_tick(struct broker *b, struct moment now);
uint64_t
broker_next_due_ms(const struct broker *b); /* mono_ms of the next timer; UINT64_MAX: none */

/* ---- proposals */

/* Up to max changes to propose, in a; NULL: none. They count as proposed, and come again after
 * settle_ms if the feed has not shown their effect by then. */
Pb__EvalUpdates *broker_take_updates(struct broker *b, struct arena *a, size_t max,
                                     struct moment now);

/* ---- what is seen from outside */

void broker_stats(const struct broker *b, Pb__BrokerStats *out);
/* Aborts if an invariant is broken. Tests and the simulator call it after every step. */
void broker_check(const struct broker *b);

#endif
