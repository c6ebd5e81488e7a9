/* The gateway's two views of what changes. One, always open, follows allocations and nodes for the
 * agents; the other, for waiting reads of jobs and evaluations, is open only while there are such
 * readers: at thousands of registrations a second it is not free. */
#ifndef GATEWAY_FEEDS_H
#define GATEWAY_FEEDS_H

#include "gateway.h"

enum err feeds_open(struct gateway *g, struct reason *why);
void feeds_close(struct gateway *g);
/* A reader has begun to wait. */
void feeds_want(struct gateway *g);

#endif
