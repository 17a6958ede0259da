// The kernel's clocks.
#include <time.h>

#include "CApusMachine.h"

apus_clock_gettime_fn apus_vdso_clock_gettime = NULL;

int64_t apus_nanotime(apus_clock_gettime_fn function) {
  struct timespec t;
  if (function != NULL)
    function(CLOCK_MONOTONIC, &t);
  else
    clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t apus_unix_time(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int64_t apus_thread_time(void) {
  struct timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}
