#include "body.h"
#include "answer.h"
#include "wire/json.h"
#include <strings.h>

json_t *body_member(const json_t *object, const char *name)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key,
                        value) if (strcasecmp(key, name) == 0 && !json_is_null(value)) return value;
    return NULL;
}

const char *body_kind(const json_t *v)
{
    return json_is_array(v)     ? "array"
           : json_is_object(v)  ? "object"
           : json_is_string(v)  ? "string"
           : json_is_boolean(v) ? "bool"
                                : "number";
}

json_t *body_object(struct call_context *c, unsigned status)
{
    size_t len;
    const char *text = exchange_body(c->x, &len);
    struct reason why = {{0}};
    json_t *body = len > 0 ? json_text_parse(text, len, &why) : NULL;
    if (len == 0)
        answer_text(c->x, status, "Request body is empty");
    else if (body == NULL)
        answer_text(c->x, status, "%s", why.text);
    else if (json_is_object(body))
        return body;
    else
        answer_text(c->x, status, "the body must be an object");
    json_decref(body);
    return NULL;
}
