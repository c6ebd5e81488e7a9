/* Questions on their way to a worker and back: what a plan would do, why things are as they are.
 * One is handed to one worker that serves its type, with whatever else that worker gets; when the
 * worker is gone it is handed to another. So is one about a past evaluation of which the worker
 * knows nothing: another may have planned it. It is given up when whoever asked has no time left.
 */
#ifndef EVALBROKER_QUESTIONS_H
#define EVALBROKER_QUESTIONS_H

#include "evalbroker.h"

#define MAX_QUESTIONS 256 /* open at once */

void questions_on_ask(void *self, struct request *req);
void questions_on_answer(void *self, struct request *req);

/* Whether a worker that serves these types could be given one. */
bool questions_wait(const struct evalbroker *eb, char *const *types, size_t type_count,
                    uint32_t peer);
/* Adds them to out, which lives in a; they are the peer's then. */
void questions_hand_out(struct evalbroker *eb, const Pb__Dequeue *ask, uint32_t peer,
                        struct arena *a, Pb__Deliveries *out);
void questions_peer_gone(struct evalbroker *eb, uint32_t peer);
void questions_fail_all(struct evalbroker *eb, void (*fail)(struct request *req));
/* The server fails what is open. */
void questions_close(struct evalbroker *eb);

#endif
