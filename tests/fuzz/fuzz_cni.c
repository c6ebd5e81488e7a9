/* Configurations of CNI's networks, and what its plugins print. */
#include "base/err.h"
#include "nodeagent/cni_result.h"
#include "nodeagent/netns/cni_config.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use_config(const char *text, size_t size)
{
    const struct netport port = {8080, 80};
    const struct netplace p = {.ports = (struct netport *)(uintptr_t)&port, .port_count = 1};
    struct reason why = {""};
    json_t *list = cni_parse(text, size, &why);
    if (list == NULL) {
        must(why.text[0] != '\0');
        return;
    }
    json_t *runtime = cni_runtime(&p, "IP=10.0.0.1");
    size_t count = json_array_size(json_object_get(list, "plugins"));
    must(count > 0 && count <= CNI_PLUGINS_MOST);
    for (size_t i = 0; i < count; i++) {
        char *request = cni_request(list, i, i > 0 ? list : NULL, runtime);
        must(request != NULL);
        free(request);
    }
    cni_has_check(list);
    json_decref(runtime);
    json_decref(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct arena *a = arena_new(1 << 20);
    struct reason why = {""};
    use_config(text, size);
    cni_failure("p", "ADD", text, size, &why);
    must(why.text[0] != '\0');
    why.text[0] = '\0';
    if (cni_status(a, text, size, &why) == NULL)
        must(why.text[0] != '\0');
    arena_free(a);
    return 0;
}
