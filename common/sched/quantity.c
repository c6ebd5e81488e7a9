#include "sched/quantity.h"
#include "base/err.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *text;
    enum quantity_of of; /* of BYTES there is a rate too: "/s" */
    double factor;
} units[] = {
    {"B", BYTES, 1},
    {"kiB", BYTES, 1024.0},
    {"KiB", BYTES, 1024.0},
    {"MiB", BYTES, 1048576.0},
    {"GiB", BYTES, 1073741824.0},
    {"TiB", BYTES, 1099511627776.0},
    {"PiB", BYTES, 1125899906842624.0},
    {"EiB", BYTES, 1152921504606846976.0},
    {"kB", BYTES, 1e3},
    {"KB", BYTES, 1e3},
    {"MB", BYTES, 1e6},
    {"GB", BYTES, 1e9},
    {"TB", BYTES, 1e12},
    {"PB", BYTES, 1e15},
    {"EB", BYTES, 1e18},
    {"Hz", HERTZ, 1},
    {"kHz", HERTZ, 1e3},
    {"MHz", HERTZ, 1e6},
    {"GHz", HERTZ, 1e9},
    {"mW", WATTS, 1e-3},
    {"W", WATTS, 1},
    {"kW", WATTS, 1e3},
    {"MW", WATTS, 1e6},
    {"GW", WATTS, 1e9},
};

static bool find_unit(const char *text, struct quantity *q)
{
    size_t len = strlen(text);
    bool rate = len > 2 && strcmp(text + len - 2, "/s") == 0;
    if (rate)
        len -= 2;
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        if (strlen(units[i].text) != len || memcmp(units[i].text, text, len) != 0)
            continue;
        if (rate && units[i].of != BYTES)
            return false;
        q->of = rate ? BYTES_PER_SECOND : units[i].of;
        q->value *= units[i].factor;
        return true;
    }
    return false;
}

bool quantity_parse(const char *text, struct quantity *out)
{
    if (text == NULL || !(isdigit((unsigned char)text[0]) || text[0] == '-' || text[0] == '.'))
        return false; /* no "inf", no "nan", no spaces before it */
    char *end;
    struct quantity q = {.of = PLAIN, .value = strtod(text, &end)};
    if (end == text)
        return false;
    if (*end != '\0' && !find_unit(*end == ' ' ? end + 1 : end, &q))
        return false;
    *out = q;
    return true;
}
