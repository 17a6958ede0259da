#include "ApusPreemptionPoints.h"

#include "CApusPreempt.h"

void __sanitizer_cov_trace_pc_guard(uint32_t *guard) {
  (void)guard;
  apus_preempt_point();
}

void __sanitizer_cov_trace_pc_guard_init(uint32_t *start, uint32_t *stop) {
  (void)start;
  (void)stop;
}
