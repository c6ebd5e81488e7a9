/* What a client of a command in a task sends, and what a server answers: JSON by websocket. */
#include "base/err.h"
#include "wire/execjson.h"
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(8 << 20);
    struct strbuf once = STRBUF_INIT, twice = STRBUF_INIT;
    struct exec_message m, again;
    struct reason why;
    if (exec_message_read(a, (const char *)data, size, &m, &why) == OK) {
        must(m.input.data.len <= size && m.output.data.len <= size && m.error.data.len <= size);
        exec_message_write(&once, &m);
        must(exec_message_read(a, once.data, once.len, &again, &why) == OK);
        exec_message_write(&twice, &again);
        must(strcmp(once.data, twice.data) == 0);
    }
    strbuf_free(&once);
    strbuf_free(&twice);
    arena_free(a);
    return 0;
}
