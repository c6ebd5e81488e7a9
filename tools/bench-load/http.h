/* One keep-alive HTTP/1.1 connection on the loop, one request at a time: as much HTTP as driving a
 * gateway takes. */
#ifndef BENCH_HTTP_H
#define BENCH_HTTP_H

#include "base/err.h"
#include "loop/loop.h"
#include <stddef.h>

struct http;

/* status 0: the connection was lost or cannot be made. body ends in NUL and is borrowed. */
typedef void http_fn(void *owner, int status, const char *body, size_t len);

struct http *http_open(struct loop *l, int port); /* on 127.0.0.1 */
void http_close(struct http *h);
/* One at a time. done may send the next. */
void http_send(struct http *h, const char *method, const char *path, const char *body,
               http_fn *done, void *owner);

#endif
