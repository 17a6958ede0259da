// The samples of a CPU profile (cpu_profile.c). One profile at a time; the caller sees to that.
#ifndef CAPUS_PROFILE_H
#define CAPUS_PROFILE_H

#include <stddef.h>
#include <stdint.h>

#include "CApusSamples.h"

/// Gets memory for samples and installs the handler of SIGPROF, which stays; from now on it counts. 0 or a negative errno.
int apus_profile_begin(void);
/// Sends SIGPROF to the thread `tid` of this process each time that it has used so much CPU time: the timer's number, or a
/// negative errno.
int apus_profile_timer_start(int32_t tid, int64_t period_ns);
void apus_profile_timer_stop(int timer);
/// No sample is counted any more when it returns. The timers have been stopped.
void apus_profile_end(void);
/// What was counted: for each stack the periods for which a thread was there. After `apus_profile_end`.
const apus_samples *apus_profile_samples(void);
/// Gives the memory back.
void apus_profile_release(void);

#endif
