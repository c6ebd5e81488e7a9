/* What a container engine answers. */
#include "base/err.h"
#include "nodeagent/dock/message.h"
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct head head;
    if (head_read(text, size, &head) != 1)
        return 0;
    must(head.size <= size);
    for (size_t at = head.size; at < size;) {
        const char *part;
        size_t len, most = (at * 7) % 13 + 1;
        most = most < size - at ? most : size - at;
        size_t took = body_take(&head.body, text + at, most, &part, &len);
        must(took <= most && len <= took);
        must(len == 0 || (part >= text + at && part + len <= text + at + took));
        must(took > 0 || head.body.ended || head.body.broken);
        if (took == 0)
            break;
        at += took;
    }
    return 0;
}
