/* The GPUs that NVIDIA's driver library knows, as the list of devices that a device_program prints
 * (docs/devices.md). The library is loaded here, when asked: nothing is needed to build with. */
#ifndef NODEAGENT_NVML_H
#define NODEAGENT_NVML_H

#include "base/err.h"
#include "base/strbuf.h"

#define NVML_LIBRARY "libnvidia-ml.so.1"

/* Adds the list in JSON to *out; nothing on error: the library is not there, or does not answer. */
enum err nvml_list(const char *library, struct strbuf *out, struct reason *why);

#endif
