// The thread that does small things later.
#include <signal.h>
#include <stdlib.h>

#include "caller.h"

typedef struct task {
  struct task *next;
  int64_t when;
  void (*act)(stress_caller *caller);
  stress_caller *caller;
} task;

static pthread_mutex_t feeder_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t feeder_condition;
static task *tasks;

static void *feed(void *unused) {
  (void)unused;
  pthread_mutex_lock(&feeder_mutex);
  while (1) {
    if (tasks == NULL) {
      pthread_cond_wait(&feeder_condition, &feeder_mutex);
      continue;
    }
    if (tasks->when > now(CLOCK_MONOTONIC)) {
      struct timespec until = in_ns(tasks->when);
      pthread_cond_timedwait(&feeder_condition, &feeder_mutex, &until);
      continue;
    }
    task *due = tasks;
    tasks = due->next;
    pthread_mutex_unlock(&feeder_mutex);
    due->act(due->caller);
    free(due);
    pthread_mutex_lock(&feeder_mutex);
  }
  return NULL;
}

static void start_feeder(void) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&feeder_condition, &attributes);
  pthread_t thread;
  // It takes no signal: the program's are for others.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  if (pthread_create(&thread, NULL, feed, NULL) != 0) abort();
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void later(stress_caller *caller, int microseconds, void (*act)(stress_caller *)) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, start_feeder);
  task *new = malloc(sizeof *new);
  if (new == NULL) abort();
  *new = (task){.when = now(CLOCK_MONOTONIC) + microseconds * INT64_C(1000), .act = act, .caller = caller};
  pthread_mutex_lock(&feeder_mutex);
  task **place = &tasks;
  while (*place != NULL && (*place)->when <= new->when) place = &(*place)->next;
  new->next = *place;
  *place = new;
  pthread_cond_signal(&feeder_condition);
  pthread_mutex_unlock(&feeder_mutex);
}
