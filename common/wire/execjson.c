#include "wire/execjson.h"
#include "wire/json.h"

#define SIZE_MOST 65535 /* of a terminal, as the kernel has it */

static enum err read_stream(struct arena *a, const json_t *tree, const char *name,
                            struct exec_stream *out, struct reason *why)
{
    const json_t *stream = json_object_get(tree, name), *data = json_object_get(stream, "data");
    size_t len = json_string_length(data), bad;
    if (stream != NULL && !json_is_object(stream) && !json_is_null(stream))
        return reason_set(why, ERR_INVALID, "%s is no object", name);
    out->close = json_is_true(json_object_get(stream, "close"));
    if (data != NULL && !json_is_string(data) && !json_is_null(data))
        return reason_set(why, ERR_INVALID, "data of %s is no text", name);
    if (len == 0)
        return OK;
    out->data.data = arena_alloc(a, len / 4 * 3 + 4);
    if (!json_base64_read(json_string_value(data), len, out->data.data, &out->data.len, &bad))
        return reason_set(why, ERR_INVALID, "data of %s is not base64, at byte %zu", name, bad);
    return OK;
}

static enum err read_size(const json_t *tree, struct exec_message *out, struct reason *why)
{
    const json_t *size = json_object_get(tree, "tty_size");
    json_int_t rows = json_integer_value(json_object_get(size, "height"));
    json_int_t columns = json_integer_value(json_object_get(size, "width"));
    if (rows < 0 || rows > SIZE_MOST || columns < 0 || columns > SIZE_MOST)
        return reason_set(why, ERR_INVALID, "tty_size is not between 0 and %d", SIZE_MOST);
    out->rows = (uint32_t)rows;
    out->columns = (uint32_t)columns;
    return OK;
}

static enum err read_end(const json_t *tree, struct exec_message *out, struct reason *why)
{
    json_int_t code =
        json_integer_value(json_object_get(json_object_get(tree, "result"), "exit_code"));
    if (code < INT32_MIN || code > INT32_MAX)
        return reason_set(why, ERR_INVALID, "exit_code is out of range");
    out->exited = json_is_true(json_object_get(tree, "exited"));
    out->exit_code = (int32_t)code;
    return OK;
}

static enum err read_tree(struct arena *a, const json_t *tree, struct exec_message *out,
                          struct reason *why)
{
    const json_t *version = json_object_get(tree, "version");
    if (!json_is_object(tree))
        return reason_set(why, ERR_INVALID, "a message must be a JSON object");
    out->handshake = json_is_integer(version);
    out->version = json_integer_value(version);
    enum err e = read_stream(a, tree, "stdin", &out->input, why);
    if (e == OK)
        e = read_stream(a, tree, "stdout", &out->output, why);
    if (e == OK)
        e = read_stream(a, tree, "stderr", &out->error, why);
    if (e == OK)
        e = read_size(tree, out, why);
    return e == OK ? read_end(tree, out, why) : e;
}

enum err exec_message_read(struct arena *a, const char *text, size_t len, struct exec_message *out,
                           struct reason *why)
{
    *out = (struct exec_message){0};
    json_t *tree = json_text_parse(text, len, why);
    if (tree == NULL)
        return ERR_INVALID;
    enum err e = read_tree(a, tree, out, why);
    json_decref(tree);
    return e;
}

static void put_stream(json_t *tree, const char *name, const struct exec_stream *s)
{
    if (s->data.len == 0 && !s->close)
        return;
    json_t *stream = json_object();
    if (s->data.len > 0)
        json_put(stream, "data", json_base64(s->data));
    if (s->close)
        json_put(stream, "close", json_true());
    json_put(tree, name, stream);
}

void exec_message_write(struct strbuf *out, const struct exec_message *m)
{
    json_t *tree = json_object();
    put_stream(tree, "stdin", &m->input);
    put_stream(tree, "stdout", &m->output);
    put_stream(tree, "stderr", &m->error);
    if (m->rows > 0 || m->columns > 0)
        json_put(
            tree, "tty_size",
            json_pack("{sI,sI}", "height", (json_int_t)m->rows, "width", (json_int_t)m->columns));
    if (m->exited) {
        json_t *result = json_object();
        if (m->exit_code != 0)
            json_put(result, "exit_code", json_integer(m->exit_code));
        json_put(tree, "exited", json_true());
        json_put(tree, "result", result);
    }
    if (m->handshake)
        json_put(tree, "version", json_integer(m->version));
    json_text_write(out, tree, false);
    json_decref(tree);
}
