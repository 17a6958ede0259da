// What start-up asks of libc and of the compiler of the C half.
#ifndef CAPUS_BOOT_H
#define CAPUS_BOOT_H

#include <stdint.h>

// Leaves of CPUID that libc's dynamic linker has read already.
#define APUS_CPUID_1 0
#define APUS_CPUID_7 1
#define APUS_CPUID_80000001 2
#define APUS_CPUID_80000007 4

/// Copies leaf `index` (one of the above) as the processor gave it to `words`: eax, ebx, ecx, edx. Returns 0 and copies
/// nothing where this libc keeps no leaves.
///
/// CPUID traps to the hypervisor of a virtual machine, some microseconds each; reading libc's copy costs nothing.
int apus_cpuid_kept(uint32_t index, uint32_t words[4]);

/// xgetbv(0), on a processor that the caller knows to have it (OSXSAVE); zero on other architectures.
uint64_t apus_xcr0(void);

/// The APUS_RUNTIME_VERSION with which the C half was compiled.
int apus_runtime_version(void);

/// The main actor is where the goroutine of this number runs, whatever its thread (main_actor.c). Once, before it does.
void apus_main_actor_is(uint64_t goroutine);

/// Looks up every type and conformance that the executable's own code looks up by name at its first use; how many. For
/// code without optimization. On a stack of a normal size: the standard library's lookup is deep.
int apus_metadata_prepare(void);

#endif
