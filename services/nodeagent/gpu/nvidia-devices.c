/* nvidia-devices: prints the GPUs of NVIDIA's driver, for the agent's setting device_program. A
 * process of its own, since the driver's library may hang or crash.
 *
 * Exits     0 printed, also when there is no card; 1 the driver's library is not there or fails */
#include "gpu/nvml.h"
#include <stdbool.h>
#include <stdio.h>

int main(void)
{
    struct strbuf text = STRBUF_INIT;
    struct reason why = {""};
    if (nvml_list(NVML_LIBRARY, &text, &why) != OK) {
        fprintf(stderr, "nvidia-devices: %s\n", why.text);
        return 1;
    }
    bool printed = puts(strbuf_text(&text)) >= 0 && fflush(stdout) == 0;
    strbuf_free(&text);
    return printed ? 0 : 1;
}
