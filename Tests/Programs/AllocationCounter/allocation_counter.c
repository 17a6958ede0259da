#include "AllocationCounter.h"

#include <errno.h>
#include <stddef.h>

#include "CApus.h"

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *block);

static uint64_t count;

uint64_t allocation_count(void) { return __atomic_load_n(&count, __ATOMIC_RELAXED); }

static uint64_t count_in_sections;

uint64_t allocation_count_in_sections(void) { return __atomic_load_n(&count_in_sections, __ATOMIC_RELAXED); }

__attribute__((noinline)) void allocation_in_section(void) {
  __atomic_fetch_add(&count_in_sections, 1, __ATOMIC_RELAXED);
}

static void look(void) {
  apus_m_head *m = apus_current_m();
  if (m != NULL && m->locks != 0 && m->p != NULL) allocation_in_section();
}

static void note(void) {
  __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED);
  look();
}

void free(void *block) {
  if (block == NULL) return;
  look();
  __libc_free(block);
}

void *malloc(size_t size) {
  note();
  return __libc_malloc(size);
}

void *calloc(size_t members, size_t size) {
  note();
  return __libc_calloc(members, size);
}

void *realloc(void *block, size_t size) {
  note();
  return __libc_realloc(block, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
  note();
  return __libc_memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size) {
  note();
  *result = __libc_memalign(alignment, size);
  return *result == NULL ? ENOMEM : 0;
}

void allocate_in_section(void) {
  apus_m *m = (apus_m *)apus_current_m();
  apus_m_enter(m);
  void *volatile block = malloc(1);
  apus_m_leave(m);
  free(block);
}
