#ifndef GATEWAY_AGENT_CONFIG_H
#define GATEWAY_AGENT_CONFIG_H

struct agent_section {
    const char *name, *text; /* JSON */
};
extern const struct agent_section agent_sections[]; /* ends with a NULL */

#endif
