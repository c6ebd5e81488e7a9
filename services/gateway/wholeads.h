/* LEADER: tells schedworkers and gateways elsewhere who leads this region, at once or when that
 * changes. */
#ifndef GATEWAY_WHOLEADS_H
#define GATEWAY_WHOLEADS_H

#include "leader.h"
#include "loop/loop.h"
#include "net/net.h"
#include "roster.h"

struct wholeads;

struct wholeads *wholeads_new(struct loop *l, struct leader *leader, struct roster *roster);
void wholeads_free(struct wholeads *w);                        /* before the servers are closed */
void wholeads_answer(struct wholeads *w, struct request *req); /* takes req: a LEADER */
void wholeads_changed(struct wholeads *w); /* who leads, or the servers may have changed */

#endif
