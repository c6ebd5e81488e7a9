/* Texts of URLs and of a few headers. Pure. */
#ifndef GATEWAY_URLS_H
#define GATEWAY_URLS_H

#include "base/strbuf.h"
#include <stdbool.h>
#include <stddef.h>

/* Decodes %XX in place. False: malformed, or it would hold a NUL. */
bool url_unescape(char *text);
void url_escape(struct strbuf *out, const char *text); /* for a query */
/* "//v1/../v1//jobs" -> "/v1/jobs", as path.Clean but keeping a last slash. True if it changed. */
bool url_clean(const char *path, struct strbuf *out);
/* Whether an Accept-Encoding allows gzip. */
bool url_accepts_gzip(const char *accept_encoding);
/* "1", "t", "TRUE", "false" ...: as strconv.ParseBool. */
bool parse_bool(const char *text, bool *out);

#endif
