/* Durations as people write them: "1h30m", "250ms", "1.5s", "0". */
#ifndef BASE_DURATION_H
#define BASE_DURATION_H

#include <stdbool.h>
#include <stdint.h>

bool duration_parse(const char *text,
                    int64_t *out_ns);           /* units ns us ms s m h; a bare number only if 0 */
void duration_format(int64_t ns, char out[32]); /* "1h30m0s", "250ms": as Go prints it */

#endif
