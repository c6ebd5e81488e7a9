/* Stands for libnvidia-ml.so.1: three cards, of which the last is broken; FAKE_NVML=dead: no
 * driver. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct memory {
    unsigned long long total, unused, used;
};
int nvmlInit_v2(void);
int nvmlShutdown(void);
const char *nvmlErrorString(int code);
int nvmlSystemGetDriverVersion(char *out, unsigned room);
int nvmlDeviceGetCount_v2(unsigned *out);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **out);
int nvmlDeviceGetUUID(void *card, char *out, unsigned room);
int nvmlDeviceGetName(void *card, char *out, unsigned room);
int nvmlDeviceGetMinorNumber(void *card, unsigned *out);
int nvmlDeviceGetMemoryInfo(void *card, struct memory *out);

static unsigned cards[] = {0, 1, 2};

int nvmlInit_v2(void)
{
    const char *how = getenv("FAKE_NVML");
    return how != NULL && strcmp(how, "dead") == 0 ? 9 : 0;
}

int nvmlShutdown(void)
{
    return 0;
}

const char *nvmlErrorString(int code)
{
    return code == 9 ? "Driver Not Loaded" : "GPU is lost";
}

int nvmlSystemGetDriverVersion(char *out, unsigned room)
{
    return snprintf(out, room, "535.129.03") > 0 ? 0 : 1;
}

int nvmlDeviceGetCount_v2(unsigned *out)
{
    *out = 3;
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **out)
{
    *out = &cards[index];
    return 0;
}

int nvmlDeviceGetUUID(void *card, char *out, unsigned room)
{
    return snprintf(out, room, "GPU-%u", *(unsigned *)card) > 0 ? 0 : 1;
}

int nvmlDeviceGetName(void *card, char *out, unsigned room)
{
    return snprintf(out, room, *(unsigned *)card == 1 ? "A2/x" : "Tesla T4") > 0 ? 0 : 1;
}

/* In another order than the cards are listed in. */
int nvmlDeviceGetMinorNumber(void *card, unsigned *out)
{
    *out = 7 - *(unsigned *)card;
    return 0;
}

int nvmlDeviceGetMemoryInfo(void *card, struct memory *out)
{
    if (*(unsigned *)card == 2)
        return 15;
    out->total = 15360ull << 20;
    return 0;
}
