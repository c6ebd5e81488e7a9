/* Raft's messages as another server sends them. What is let through goes out again as it came. */
#include "base/err.h"
#include "raftwire.h"
#include "wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(64u << 20);
    struct raft_message *messages;
    struct reason why;
    size_t count = 0;
    const Pb__RaftMessages *b = WIRE_UNPACK(a, Pb__RaftMessages, pb__raft_messages, data, size);
    if (b != NULL && raftwire_decode(a, b, &messages, &count, &why) == OK) {
        for (size_t i = 0; i < count; i++) {
            const Pb__RaftMessage *again = raftwire_encode(a, &messages[i]);
            must(again->n_entries == b->messages[i]->n_entries);
            must(again->term == b->messages[i]->term && again->index == b->messages[i]->index);
            for (size_t k = 0; k < again->n_entries; k++)
                must(messages[i].entries[k].index == messages[i].index + 1 + k);
        }
    }
    arena_free(a);
    return 0;
}
