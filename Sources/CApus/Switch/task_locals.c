// Where Swift Concurrency keeps the task-local values that are bound outside of tasks.
#include "CApusMachine.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

// Weak: a program that does not link the concurrency library has no task-local values.
extern void *swift_task_getCurrent(void) __attribute__((weak, swiftcall));
extern void swift_task_localValuePush(const void *key, void *value, const void *type) __attribute__((weak, swiftcall));
extern void swift_task_localValuePop(void) __attribute__((weak, swiftcall));
/// The type `Int`.
extern const char metadata_of_int __asm__("$sSiN") __attribute__((weak));

/// More words than any image's block has that could be searched.
#define LIMIT 2048

uintptr_t *apus_task_locals_word(void) {
  if (swift_task_localValuePush == NULL || swift_task_localValuePop == NULL || &metadata_of_int == NULL) return NULL;
  // The call also makes the block where the dynamic linker has put that off.
  if (swift_task_getCurrent == NULL || swift_task_getCurrent() != NULL) return NULL;
  apus_image image;
  if (!apus_find_image((uintptr_t)swift_task_localValuePush, &image) || image.tls == NULL) return NULL;
  volatile uintptr_t *words = image.tls;
  size_t count = apus_tls_segment_size(image.headers, image.header_count) / sizeof *words;
  if (count > LIMIT) return NULL;
  // A bit for each word that is zero before a value is bound, and then for each of these that is not while it is. In a static
  // executable others' words are there, too, and malloc's change; but only the one is zero again afterwards.
  uint64_t candidates[LIMIT / 64] = {0};
  sigset_t all, before;
  sigfillset(&all);
  if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) return NULL;
  for (size_t i = 0; i < count; i++)
    if (words[i] == 0) candidates[i / 64] |= 1ull << i % 64;
  static const char key;
  intptr_t value = 0;
  swift_task_localValuePush(&key, &value, &metadata_of_int);
  for (size_t i = 0; i < count; i++)
    if (words[i] == 0) candidates[i / 64] &= ~(1ull << i % 64);
  swift_task_localValuePop();
  uintptr_t *found = NULL;
  size_t matches = 0;
  for (size_t i = 0; i < count; i++) {
    if ((candidates[i / 64] & 1ull << i % 64) == 0 || words[i] != 0) continue;
    found = (uintptr_t *)&words[i];
    matches++;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return matches == 1 ? found : NULL;
}
