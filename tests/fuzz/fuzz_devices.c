/* What a program of the operator's prints as the devices of the node. */
#include "base/err.h"
#include "nodeagent/devices.h"
#include "wire/grant.h"
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(64 << 20);
    struct reason why = {""};
    Pb__Node node = PB__NODE__INIT;
    if (devices_add(a, (const char *)data, size, &node, &why) == OK)
        must(node_pieces_mistake(&node) == NULL); /* the servers take it */
    else
        must(node.n_devices == 0 && why.text[0] != '\0');
    arena_free(a);
    return 0;
}
