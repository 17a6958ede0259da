// What Swift Concurrency knows of a thread, in thread-local words of its library without names: the current task, and the
// task-local values that are bound outside of tasks.
#include "CApusMachine.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

// Weak: a program that does not link the concurrency library has no tasks, and no task-local values.
extern void *swift_task_getCurrent(void) __attribute__((weak, swiftcall));
extern void swift_task_localValuePush(const void *key, void *value, const void *type) __attribute__((weak, swiftcall));
extern void swift_task_localValuePop(void) __attribute__((weak, swiftcall));
/// The type `Int`.
extern const char metadata_of_int __asm__("$sSiN") __attribute__((weak));

/// More words than any image's block has in which the values' word is looked for.
#define LIMIT 2048

void *apus_current_task(void) { return swift_task_getCurrent != NULL ? swift_task_getCurrent() : NULL; }

/// The one that takes a mark for a task.
static const uintptr_t *find_current(volatile uintptr_t *words, size_t count) {
  const uintptr_t *found = NULL;
  const uintptr_t mark = (uintptr_t)&found;
  for (size_t i = 0; i < count && found == NULL; i++) {
    if (words[i] != 0) continue;
    words[i] = mark;
    if (swift_task_getCurrent() == (void *)mark) found = (const uintptr_t *)&words[i];
    words[i] = 0;
  }
  return found;
}

/// The one that is not zero while a value is bound, and only then.
static uintptr_t *find_locals(const volatile uintptr_t *words, size_t count) {
  if (swift_task_localValuePush == NULL || swift_task_localValuePop == NULL || &metadata_of_int == NULL ||
      count > LIMIT)
    return NULL;
  // A bit for each word that is zero before a value is bound, and then for each of these that is not while it is. Malloc's
  // change, too; but only the one is zero again afterwards.
  uint64_t candidates[LIMIT / 64] = {0};
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
  return matches == 1 ? found : NULL;
}

apus_task_words apus_find_task_words(void) {
  apus_task_words found = {NULL, NULL};
  // The call also makes the block where the dynamic linker has put that off.
  if (swift_task_getCurrent == NULL || swift_task_getCurrent() != NULL) return found;
  apus_image image;
  if (!apus_find_image((uintptr_t)swift_task_getCurrent, &image) || image.tls == NULL) return found;
  size_t count = apus_tls_segment_size(image.headers, image.header_count) / sizeof(uintptr_t);
  // In a static executable others' words are there, too. They are the thread's own, so only a signal handler could see one
  // of them while it holds a mark, or change one.
  sigset_t all, before;
  sigfillset(&all);
  if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) return found;
  found.current = find_current(image.tls, count);
  found.locals = find_locals(image.tls, count);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return found;
}
