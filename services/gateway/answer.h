/* Answers in Nomad's manner: JSON or plain text, with its headers. */
#ifndef GATEWAY_ANSWER_H
#define GATEWAY_ANSWER_H

#include "base/strbuf.h"
#include "http.h"
#include "net/net.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define TEXT_PLAIN "text/plain; charset=utf-8"

/* How far a read may be behind. */
struct freshness {
    bool known_leader;
    uint64_t last_contact_ms;
};
/* Adds X-Nomad-Index and, for a read, its two companions. */
void answer_index(struct exchange *x, uint64_t index);
void answer_read_index(struct exchange *x, uint64_t index, struct freshness f);

void answer_json(struct exchange *x, json_t *tree, bool pretty); /* 200; takes tree */
void answer_json_status(struct exchange *x, unsigned status, json_t *tree, bool pretty);
void answer_body(struct exchange *x, struct strbuf *json); /* 200; takes the bytes */
void answer_text(struct exchange *x, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void answer_nothing(struct exchange *x, unsigned status); /* no bytes at all */
/* jobstore could not be asked or refused: status and text as Nomad has them where it has. */
void answer_failure(struct exchange *x, const struct response *r);

#endif
