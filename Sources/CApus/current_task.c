// Whether the calling thread is inside a task of Swift Concurrency.
#define _GNU_SOURCE
#include "CApusMachine.h"

#include <link.h>
#include <signal.h>
#include <stddef.h>

// Weak: a program that does not link the concurrency library has no tasks.
extern void *swift_task_getCurrent(void) __attribute__((weak, swiftcall));

void *apus_current_task(void) { return swift_task_getCurrent != NULL ? swift_task_getCurrent() : NULL; }

typedef struct {
  uintptr_t address;
  uintptr_t *words;
  size_t count;
} block_search;

/// Finds the calling thread's block of the image that holds an address.
static int block_of(struct dl_phdr_info *info, size_t size, void *data) {
  block_search *search = data;
  if (size < offsetof(struct dl_phdr_info, dlpi_tls_data) + sizeof info->dlpi_tls_data) return 1;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *header = &info->dlpi_phdr[i];
    if (header->p_type != PT_LOAD || search->address - (info->dlpi_addr + header->p_vaddr) >= header->p_memsz) continue;
    search->words = info->dlpi_tls_data;
    search->count = apus_tls_segment_size(info->dlpi_phdr, info->dlpi_phnum) / sizeof(uintptr_t);
    return 1;
  }
  return 0;
}

const uintptr_t *apus_current_task_word(void) {
  // The call also makes the block where the dynamic linker has put that off.
  if (swift_task_getCurrent == NULL || swift_task_getCurrent() != NULL) return NULL;
  block_search search = {.address = (uintptr_t)swift_task_getCurrent};
  dl_iterate_phdr(block_of, &search);
  if (search.words == NULL) return NULL;
  // In a static executable others' words are there, too. They are the thread's own, so only a signal handler could see
  // one of them while it holds the mark.
  sigset_t all, before;
  sigfillset(&all);
  if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) return NULL;
  const uintptr_t *found = NULL;
  const uintptr_t mark = (uintptr_t)&search;
  for (size_t i = 0; i < search.count && found == NULL; i++) {
    volatile uintptr_t *word = &search.words[i];
    if (*word != 0) continue;
    *word = mark;
    if (swift_task_getCurrent() == (void *)mark) found = &search.words[i];
    *word = 0;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return found;
}
