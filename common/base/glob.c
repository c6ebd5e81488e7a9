#include "base/glob.h"
#include <stddef.h>

/* Only the last star need be tried again: what an earlier one could take more of, the last can too.
 */
bool glob_matches(const char *pattern, const char *text)
{
    const char *star = NULL, *from = NULL; /* behind the last star; what it has not taken yet */
    while (*text != '\0') {
        if (*pattern == '*') {
            star = ++pattern;
            from = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star;
            text = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}
