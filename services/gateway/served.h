/* HTTP requests that clients sent to other gateways and that are answered here: HTTP, HTTP_MORE,
 * HTTP_INPUT.
 * The answer goes back in pieces of at most SERVED_PIECE bytes, as fast as they are asked for. */
#ifndef GATEWAY_SERVED_H
#define GATEWAY_SERVED_H

#include "http.h"
#include "loop/loop.h"
#include "net/net.h"

#define SERVED_PIECE (1u << 20)

struct served;

struct served *served_new(struct loop *l, struct http *web, size_t most);
void served_free(struct served *s); /* before HTTP and the doors are closed */

void served_on_http(struct served *s, struct request *req); /* all take req */
void served_on_more(struct served *s, struct request *req);
void served_on_input(struct served *s, struct request *req);

#endif
