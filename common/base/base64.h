/* Base64 (RFC 4648). */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/strbuf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum base64_digits {
    BASE64,     /* + and / */
    BASE64_URL, /* - and _ in their place */
};
/* Appends it, padded with =. */
void base64_encode(struct strbuf *out, const void *data, size_t len, enum base64_digits digits);
/* out has room for 3 bytes of each 4 begun. Text may go without its padding. False: it is none, at
 * byte *bad; out_len is not set then. */
bool base64_decode(uint8_t *out, size_t *out_len, const char *text, size_t len,
                   enum base64_digits digits, size_t *bad);

#endif
