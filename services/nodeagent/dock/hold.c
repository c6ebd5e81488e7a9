/* taskhold: the only program of the image that taskdock makes. Goes into the network namespace that
 * its argument names, and stays there until it is killed. */
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int fd = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
        return 1;
    for (;;)
        pause();
}
