#include "answer.h"
#include "wire/json.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void answer_index(struct exchange *x, uint64_t index)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, index);
    exchange_set(x, "X-Nomad-Index", text);
}

void answer_read_index(struct exchange *x, uint64_t index, struct freshness f)
{
    char text[24];
    answer_index(x, index);
    exchange_set(x, "X-Nomad-Knownleader", f.known_leader ? "true" : "false");
    snprintf(text, sizeof(text), "%" PRIu64, f.last_contact_ms);
    exchange_set(x, "X-Nomad-Lastcontact", text);
}

void answer_body(struct exchange *x, struct strbuf *json)
{
    exchange_reply(x, 200, "application/json", json);
}

void answer_json_status(struct exchange *x, unsigned status, json_t *tree, bool pretty)
{
    struct strbuf body = STRBUF_INIT;
    json_text_write(&body, tree, pretty);
    json_decref(tree);
    exchange_reply(x, status, "application/json", &body);
}

void answer_json(struct exchange *x, json_t *tree, bool pretty)
{
    answer_json_status(x, 200, tree, pretty);
}

void answer_text(struct exchange *x, unsigned status, const char *format, ...)
{
    struct strbuf body = STRBUF_INIT;
    va_list args;
    va_start(args, format);
    strbuf_vprintf(&body, format, args);
    va_end(args);
    exchange_reply(x, status, TEXT_PLAIN, &body);
}

void answer_nothing(struct exchange *x, unsigned status)
{
    exchange_reply(x, status, NULL, NULL);
}

void answer_failure(struct exchange *x, const struct response *r)
{
    switch (r->code) {
    case PB__REPLY__CODE__BUSY:
        answer_text(x, 429, "%s", r->reason[0] == '\0' ? "too many requests" : r->reason);
        return;
    case PB__REPLY__CODE__DENIED:
        answer_text(x, 403, "Permission denied");
        return;
    case PB__REPLY__CODE__NOT_LEADER:
    case PB__REPLY__CODE__TIMEOUT:
        answer_text(x, 500, "No cluster leader");
        return;
    default:
        answer_text(x, 500, "%s", r->reason[0] == '\0' ? "rpc error" : r->reason);
    }
}
