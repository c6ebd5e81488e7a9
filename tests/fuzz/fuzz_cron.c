/* Cron expressions, and tables of time zones. */
#include "base/cron.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_zone(const uint8_t *data, size_t size)
{
    static const int64_t times[] = {-(INT64_C(1) << 39), -1,         0,          1,
                                    1795426916,          2145916800, 4102444800, INT64_C(1) << 39};
    struct zone *z = NULL;
    struct reason why;
    struct cron c;
    if (zone_decode(&z, data, size, &why) != OK)
        return;
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        struct zone_span s = zone_span_at(z, times[i]);
        must(s.begin <= times[i] && times[i] < s.end);
    }
    must(cron_parse(&c, "30 2 * * *", &why) == OK);
    int64_t t = 1795426916;
    for (int i = 0; i < 20 && t != CRON_NEVER; i++) {
        int64_t next = cron_next(&c, z, t);
        must(next > t);
        t = next;
    }
    zone_free(z);
}

static void read_cron(const uint8_t *data, size_t size)
{
    char *text = xmalloc(size + 1);
    struct reason why = {""};
    struct cron c;
    memcpy(text, data, size);
    text[size] = '\0';
    if (cron_parse(&c, text, &why) == OK)
        must(cron_next(&c, NULL, 1795426916) > 1795426916);
    else
        must(why.text[0] != '\0');
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4 && memcmp(data, "TZif", 4) == 0)
        read_zone(data, size);
    else
        read_cron(data, size);
    return 0;
}
