/* The facilities of syslog by their names (RFC 3164, 4.1.1). */
#ifndef BASE_FACILITY_H
#define BASE_FACILITY_H

/* Its number, or -1. */
int facility_find(const char *name);

#endif
