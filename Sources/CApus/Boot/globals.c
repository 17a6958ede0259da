// What the hot path reads without asking Swift for it.
#include "CApus.h"

void *apus_sched_state = NULL;
_Bool apus_started = 0;
uint8_t apus_marking = 0;
uintptr_t apus_arena_base = 0;
uint64_t apus_empty_heap_entries[256];

__thread apus_m_head *apus_tls_m __attribute__((tls_model("initial-exec"))) = NULL;

void apus_set_current_m(apus_m_head *m) { apus_tls_m = m; }
