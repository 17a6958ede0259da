// Counts the calls of malloc and its kin in the whole process, by standing in for them.
#ifndef ALLOCATION_COUNTER_H
#define ALLOCATION_COUNTER_H

#include <stdint.h>

/// How many blocks have been allocated so far.
uint64_t allocation_count(void);

/// How many times somebody has allocated or freed in a section of the runtime (`apus_m_enter`), on a thread that has a P.
/// For the place: a breakpoint on `allocation_in_section`.
uint64_t allocation_count_in_sections(void);

/// Does what nobody may.
void allocate_in_section(void);

#endif
