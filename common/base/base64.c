#include "base/base64.h"
#include <string.h>

static const char *const alphabets[] = {
    [BASE64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    [BASE64_URL] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

void base64_encode(struct strbuf *out, const void *data, size_t len, enum base64_digits digits)
{
    const char *letters = alphabets[digits];
    const uint8_t *bytes = data;
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        unsigned bits = (unsigned)bytes[i] << 16 | (left > 1 ? bytes[i + 1] : 0u) << 8 |
                        (left > 2 ? bytes[i + 2] : 0u);
        strbuf_putc(out, letters[bits >> 18]);
        strbuf_putc(out, letters[bits >> 12 & 63]);
        strbuf_putc(out, left > 1 ? letters[bits >> 6 & 63] : '=');
        strbuf_putc(out, left > 2 ? letters[bits & 63] : '=');
    }
}

bool base64_decode(uint8_t *out, size_t *out_len, const char *text, size_t len,
                   enum base64_digits digits, size_t *bad)
{
    const char *letters = alphabets[digits];
    unsigned bits = 0, have = 0;
    size_t n = 0, end = len;
    while (end > 0 && len - end < 2 && text[end - 1] == '=')
        end--;
    for (size_t i = 0; i < end; i++) {
        const char *letter = text[i] == '\0' ? NULL : strchr(letters, text[i]);
        *bad = i;
        if (letter == NULL)
            return false;
        bits = bits << 6 | (unsigned)(letter - letters);
        if ((have += 6) >= 8)
            out[n++] = (uint8_t)(bits >> (have -= 8));
    }
    *bad = end;
    if (end % 4 == 1 || (end < len && len % 4 != 0))
        return false;
    *out_len = n;
    return true;
}
