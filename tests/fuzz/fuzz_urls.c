/* Paths and query values as they come from the network. */
#include "base/err.h"
#include "gateway/urls.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = xmalloc(size + 1), *copy;
    struct strbuf once = STRBUF_INIT, twice = STRBUF_INIT, escaped = STRBUF_INIT;
    bool b;
    memcpy(text, data, size);
    text[size] = '\0';
    url_accepts_gzip(text);
    parse_bool(text, &b);
    url_escape(&escaped, text);
    copy = xstrdup(strbuf_text(&escaped));
    must(url_unescape(copy)); /* the way there and back */
    must(strcmp(copy, text) == 0);
    url_clean(text, &once);
    must(strbuf_text(&once)[0] == '/');
    must(!url_clean(strbuf_text(&once), &twice)); /* clean is clean */
    must(strstr(strbuf_text(&once), "//") == NULL);
    url_unescape(text);
    free(copy);
    free(text);
    strbuf_free(&once);
    strbuf_free(&twice);
    strbuf_free(&escaped);
    return 0;
}
