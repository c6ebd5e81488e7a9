#include "daemon/daemon.h"
#include <stdio.h>
#include <unistd.h>

void daemon_end(int code)
{
    fflush(NULL);
    _exit(code);
}
