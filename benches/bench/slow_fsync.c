/* Makes fsync and fdatasync take DELAY_US microseconds more: a simulated slow disk, preloaded by disk.rs. Files that are opened
   with O_DSYNC or O_SYNC are not slowed; no server opens its log so by default. */

#define _GNU_SOURCE
#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int slowly(long number, int file)
{
    struct timespec left = {DELAY_US / 1000000, DELAY_US % 1000000 * 1000L};
    while (nanosleep(&left, &left) == -1 && errno == EINTR) {
    }
    return (int)syscall(number, file);
}

int fsync(int file)
{
    return slowly(SYS_fsync, file);
}

int fdatasync(int file)
{
    return slowly(SYS_fdatasync, file);
}
