#include "escape.h"

/* The second of two is one for the other side; before anything else the first was meant so. */
static bool resolve_held(struct escape *e, char c, char *out, size_t *out_len)
{
    e->held_back = false;
    e->in_line = true;
    if (c == '.')
        return true;
    out[(*out_len)++] = (char)e->character;
    return false;
}

bool escape_filter(struct escape *e, const char *in, size_t len, char *out, size_t *out_len)
{
    *out_len = 0;
    for (size_t i = 0; i < len; i++) {
        bool is_escape = e->character >= 0 && in[i] == (char)e->character;
        if (e->held_back) {
            if (resolve_held(e, in[i], out, out_len))
                return true;
            if (is_escape)
                continue;
        } else if (is_escape && !e->in_line) {
            e->held_back = true;
            continue;
        }
        out[(*out_len)++] = in[i];
        e->in_line = in[i] != '\r' && in[i] != '\n';
    }
    return false;
}
