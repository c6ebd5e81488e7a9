#include "params.h"
#include "base/duration.h"
#include "base/id.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *params_wait(const char *index, const char *wait, struct params *out)
{
    int64_t ns = 0;
    out->index = 0;
    out->wait_ms = WAIT_DEFAULT_MS;
    if (wait != NULL && wait[0] != '\0') {
        bool negative = wait[0] == '-';
        if (!duration_parse(negative || wait[0] == '+' ? wait + 1 : wait, &ns))
            return "Invalid wait time";
        uint64_t ms = negative || ns <= 0 ? WAIT_DEFAULT_MS : (uint64_t)ns / 1000000;
        out->wait_ms = ms > WAIT_DEFAULT_MS ? WAIT_DEFAULT_MS : ms;
    }
    if (index != NULL && index[0] != '\0') {
        char *end;
        errno = 0;
        out->index = strtoull(index, &end, 10);
        if (!isdigit((unsigned char)index[0]) || *end != '\0' || errno != 0)
            return "Invalid index";
    }
    return NULL;
}

const char *params_read(const struct exchange *x, struct params *out)
{
    const char *pretty = exchange_arg(x, "pretty"), *prefix = exchange_arg(x, "prefix");
    const char *region = exchange_arg(x, "region"), *namespace = exchange_arg(x, "namespace");
    out->pretty = pretty != NULL && strcmp(pretty, "0") != 0;
    out->stale = exchange_arg(x, "stale") != NULL;
    out->prefix = prefix == NULL ? "" : prefix;
    out->region = region == NULL ? "" : region;
    out->has_namespace = namespace != NULL && namespace[0] != '\0';
    out->namespace = out->has_namespace ? namespace : "default";
    return params_wait(exchange_arg(x, "index"), exchange_arg(x, "wait"), out);
}

const char *id_problem(const char *text)
{
    uint8_t id[ID_SIZE];
    if (strlen(text) != ID_TEXT_SIZE - 1)
        return "index error: UUID must be 36 characters";
    return id_parse(text, id) ? NULL : "index error: Improperly formatted UUID";
}

const char *id_prefix_problem(const char *prefix, char buffer[128])
{
    size_t digits = 0, hyphens = 0;
    for (const char *c = prefix; *c != '\0'; c++)
        *c == '-' ? hyphens++ : digits++;
    if (hyphens > 4)
        return "index error: Input has too many hyphens";
    if (digits % 2 != 0)
        return "index error: Input (without hyphens) must be even length";
    for (const char *c = prefix; *c != '\0'; c++)
        if (*c != '-' && !isxdigit((unsigned char)*c)) {
            snprintf(buffer, 128,
                     "index error: Invalid UUID: encoding/hex: invalid byte: U+%04X '%c'",
                     (unsigned char)*c, isprint((unsigned char)*c) ? *c : '?');
            return buffer;
        }
    return digits > 32 ? "index error: Invalid UUID length" : NULL;
}
