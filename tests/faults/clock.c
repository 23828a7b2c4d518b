/* Preloaded into a program, moves its wall clock by as many seconds as the file that CLOCK_STEP
 * names says at that moment. Every other clock is as it was. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long long step_s(void)
{
    long long seconds = 0;
    const char *path = getenv("CLOCK_STEP");
    FILE *file = path ? fopen(path, "re") : NULL;
    if (file) {
        if (fscanf(file, "%lld", &seconds) != 1)
            seconds = 0;
        fclose(file);
    }
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    long failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && clock == CLOCK_REALTIME)
        now->tv_sec += step_s();
    return failed ? -1 : 0;
}
