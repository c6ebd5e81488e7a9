/* An entry of raft's log as the disk gives it back. What is taken for whole is what was written. */
#include "base/err.h"
#include "logstore.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct raft_entry e;
    if (!entry_decode(7, bytes_of(data, size), &e))
        return 0;
    uint8_t *again = xmalloc(LOG_ENTRY_HEADER + e.len);
    entry_encode(&e, again);
    must(LOG_ENTRY_HEADER + e.len == size && memcmp(again, data, size) == 0);
    free(again);
    return 0;
}
