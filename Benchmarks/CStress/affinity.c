// On which CPU a thread runs, and on which it may.
#define _GNU_SOURCE
#include <sched.h>

#include "CStress.h"

int stress_cpu(void) { return sched_getcpu(); }

uint64_t stress_affinity(int32_t tid) {
  cpu_set_t set;
  uint64_t cpus = 0;
  if (sched_getaffinity(tid, sizeof set, &set) < 0) return 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &set)) continue;
    if (cpu >= 64) return 0;
    cpus |= (uint64_t)1 << cpu;
  }
  return cpus;
}

int stress_affinity_set(int32_t tid, uint64_t cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int cpu = 0; cpu < 64; cpu++)
    if (cpus >> cpu & 1) CPU_SET(cpu, &set);
  return sched_setaffinity(tid, sizeof set, &set);
}
