// Whether the calling thread is inside a task of Swift Concurrency.
#include "CApusMachine.h"

#include <signal.h>
#include <stddef.h>

// Weak: a program that does not link the concurrency library has no tasks.
extern void *swift_task_getCurrent(void) __attribute__((weak, swiftcall));

void *apus_current_task(void) { return swift_task_getCurrent != NULL ? swift_task_getCurrent() : NULL; }

const uintptr_t *apus_current_task_word(void) {
  // The call also makes the block where the dynamic linker has put that off.
  if (swift_task_getCurrent == NULL || swift_task_getCurrent() != NULL) return NULL;
  apus_image image;
  if (!apus_find_image((uintptr_t)swift_task_getCurrent, &image) || image.tls == NULL) return NULL;
  uintptr_t *words = image.tls;
  size_t count = apus_tls_segment_size(image.headers, image.header_count) / sizeof *words;
  // In a static executable others' words are there, too. They are the thread's own, so only a signal handler could see
  // one of them while it holds the mark.
  sigset_t all, before;
  sigfillset(&all);
  if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) return NULL;
  const uintptr_t *found = NULL;
  const uintptr_t mark = (uintptr_t)&image;
  for (size_t i = 0; i < count && found == NULL; i++) {
    volatile uintptr_t *word = &words[i];
    if (*word != 0) continue;
    *word = mark;
    if (swift_task_getCurrent() == (void *)mark) found = &words[i];
    *word = 0;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return found;
}
