// The start-up sequence's questions to libc.
#include "CApusBoot.h"
#include "CApusLayout.h"

// glibc 2.33 and later; others (and other architectures) have no such header.
#if defined(__x86_64__) && __has_include(<sys/platform/x86.h>)
#include <sys/platform/x86.h>

int apus_cpuid_kept(uint32_t index, uint32_t words[4]) {
  const struct cpuid_feature *leaf = __x86_get_cpuid_feature_leaf(index);
  if (leaf == 0) return 0;
  for (int i = 0; i < 4; i++) words[i] = leaf->cpuid_array[i];
  return 1;
}
#else
int apus_cpuid_kept(uint32_t index, uint32_t words[4]) {
  (void)index;
  (void)words;
  return 0;
}
#endif

uint64_t apus_xcr0(void) {
#if defined(__x86_64__)
  uint32_t lo, hi;
  __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  return ((uint64_t)hi << 32) | lo;
#else
  return 0;
#endif
}

int apus_runtime_version(void) { return APUS_RUNTIME_VERSION; }
