/* Bytes on their way to a client: added behind, taken in front. It takes no more memory than a few
 * times what waits in it at once, also if it is never empty. */
#ifndef GATEWAY_UNSENT_H
#define GATEWAY_UNSENT_H

#include "base/strbuf.h"
#include <stddef.h>

struct unsent { /* all zero is empty */
    struct strbuf bytes;
    size_t taken; /* of bytes, from the front */
};

void unsent_add(struct unsent *u, const void *data, size_t len);
size_t unsent_len(const struct unsent *u);
const char *unsent_data(const struct unsent *u); /* until the next call that changes it */
void unsent_take(struct unsent *u, size_t len);
void unsent_clear(struct unsent *u);
void unsent_free(struct unsent *u);

#endif
