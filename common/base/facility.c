#include "base/facility.h"
#include "base/err.h"
#include <stddef.h>
#include <string.h>

static const char *const names[] = {
    [0] = "kern",      [1] = "user",    [2] = "mail",    [3] = "daemon",  [4] = "auth",
    [5] = "syslog",    [6] = "lpr",     [7] = "news",    [8] = "uucp",    [9] = "cron",
    [10] = "authpriv", [11] = "ftp",    [16] = "local0", [17] = "local1", [18] = "local2",
    [19] = "local3",   [20] = "local4", [21] = "local5", [22] = "local6", [23] = "local7",
};

int facility_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (names[i] != NULL && strcmp(names[i], name) == 0)
            return (int)i;
    return -1;
}
