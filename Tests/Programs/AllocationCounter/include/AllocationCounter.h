// Counts the calls of malloc and its kin in the whole process, by standing in for them.
#ifndef ALLOCATION_COUNTER_H
#define ALLOCATION_COUNTER_H

#include <stdint.h>

/// How many blocks have been allocated so far.
uint64_t allocation_count(void);

#endif
