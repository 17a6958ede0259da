// How the thread of an M sleeps, how it is woken, and on which CPU it goes on then. Handlers call it: it calls nothing but
// the kernel.
//
// Who hands its P to another thread and sleeps next leaves its CPU idle. The kernel does not know that when it is asked to
// wake the other one: it sees a CPU that is taken, and leaves that thread where it fell asleep, where the thread of another
// P may compute. Then two share a CPU, and the one beside it idles until the kernel's next tick balances them, up to 4 ms
// later. So where each P can have a CPU, the other thread is woken *here*: while it sleeps its affinity is narrowed to the
// waker's CPU, and it widens it again when it goes on, by which time it is where it belongs.
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "CApus.h"

/// The CPUs that the process's threads may use, as far as is known: a thread that may use others has an affinity of its own.
/// And what makes an affinity that again: all there are, where the process's cpuset alone is the limit. What a thread has
/// asked for it keeps, and its threads after it: had it asked for what it has, it would stay there when the cpuset grows.
/// Both are written once, before `places_wakes` is first set.
static cpu_set_t usual, wide;

/// False where the kernel refuses, or has more CPUs than a set has room for: then there is no placement. libc's function is
/// the system call and clears the rest.
static _Bool get_affinity(int32_t tid, cpu_set_t *set) { return sched_getaffinity(tid, sizeof *set, set) == 0; }

static _Bool set_affinity(int32_t tid, const cpu_set_t *set) { return sched_setaffinity(tid, sizeof *set, set) == 0; }

_Bool apus_placement_prepare(void) {
  if (!get_affinity(0, &usual)) return 0;
  memset(&wide, 0xff, sizeof wide);
  cpu_set_t now;
  if (!set_affinity(0, &wide)) return 0;
  if (get_affinity(0, &now) && CPU_EQUAL(&now, &usual)) return 1;
  // Somebody has given the process fewer CPUs than its cpuset has (`taskset`): that stays.
  wide = usual;
  return set_affinity(0, &wide);
}

// MARK: sleeping

/// Says that the thread of `m`, the calling one, sleeps; false when it was woken already.
static _Bool fall_asleep(apus_m *m) {
  __atomic_store_n(&m->head.slept_on, sched_getcpu(), __ATOMIC_RELAXED);
  uint32_t awake = APUS_AWAKE;
  return __atomic_compare_exchange_n(&m->words.wake, &awake, APUS_ASLEEP, 0, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE);
}

/// The thread was woken: takes the wake-up. Its affinity was narrowed before the word said so. Who narrows it later, since it
/// saw it asleep before, finds it woken and widens it. Where the kernel refuses, it is tried again the next time.
static void take_wake_up(apus_m *m) {
  if (__atomic_exchange_n(&m->words.wake, APUS_AWAKE, __ATOMIC_ACQUIRE) == APUS_WOKEN_HERE) m->head.is_narrow = 1;
  if (m->head.is_narrow != 0 && set_affinity(0, &wide)) m->head.is_narrow = 0;
}

void apus_m_sleep(apus_m *m) {
  if (fall_asleep(m))
    while (__atomic_load_n(&m->words.wake, __ATOMIC_ACQUIRE) == APUS_ASLEEP)
      apus_futex_wait(&m->words.wake, APUS_ASLEEP, -1);
  take_wake_up(m);
}

_Bool apus_m_sleep_for(apus_m *m, int64_t timeout_ns) {
  int64_t end = apus_nanotime(apus_clock_function()) + timeout_ns;
  if (fall_asleep(m)) {
    while (__atomic_load_n(&m->words.wake, __ATOMIC_ACQUIRE) == APUS_ASLEEP) {
      int64_t left = end - apus_nanotime(apus_clock_function());
      uint32_t asleep = APUS_ASLEEP;
      if (left > 0)
        apus_futex_wait(&m->words.wake, APUS_ASLEEP, left);
      else if (__atomic_compare_exchange_n(&m->words.wake, &asleep, APUS_AWAKE, 0, __ATOMIC_RELAXED, __ATOMIC_ACQUIRE))
        return 0;
    }
  }
  take_wake_up(m);
  return 1;
}

// MARK: waking

void apus_m_wake(apus_m *m) {
  uint32_t seen = __atomic_load_n(&m->words.wake, __ATOMIC_RELAXED), next;
  do {
    // A wake-up that was not taken yet stays what it is: it may have to widen the affinity. It is written all the same: who
    // takes it finds what this waker has done before, too.
    next = seen == APUS_WOKEN_HERE ? seen : APUS_WOKEN;
  } while (!__atomic_compare_exchange_n(&m->words.wake, &seen, next, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
  if (seen == APUS_ASLEEP) apus_futex_wake(&m->words.wake, 1);
}

/// Narrows the affinity of the thread of `m`, which sleeps, to the calling thread's CPU. False, and nothing is changed,
/// where it fell asleep on this CPU, or somebody has given it an affinity of its own.
static _Bool narrow(apus_sched_head *s, apus_m *m) {
  int cpu = sched_getcpu();
  if (cpu < 0 || cpu == __atomic_load_n(&m->head.slept_on, __ATOMIC_RELAXED) || !CPU_ISSET(cpu, &usual)) return 0;
  cpu_set_t now;
  if (!get_affinity(m->head.tid, &now) || !CPU_EQUAL(&now, &usual)) return 0;
  CPU_ZERO(&now);
  CPU_SET(cpu, &now);
  if (set_affinity(m->head.tid, &now)) return 1;
  // A sandbox that was set up since: it would be asked in vain each time.
  if (errno == EPERM || errno == ENOSYS || errno == EACCES) __atomic_store_n(&s->places_wakes, 0, __ATOMIC_RELAXED);
  return 0;
}

void apus_m_wake_here(apus_m *m) {
  apus_sched_head *s = apus_get_sched();
  uint32_t asleep = APUS_ASLEEP;
  if (__atomic_load_n(&s->places_wakes, __ATOMIC_ACQUIRE) != 0 &&
      __atomic_load_n(&m->words.wake, __ATOMIC_ACQUIRE) == APUS_ASLEEP && narrow(s, m)) {
    // The word says so only when the affinity is narrow: a thread that found it before would widen it too early.
    if (__atomic_compare_exchange_n(&m->words.wake, &asleep, APUS_WOKEN_HERE, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
      __atomic_fetch_add(&s->placed_wakes, 1, __ATOMIC_RELAXED);
      apus_futex_wake(&m->words.wake, 1);
      return;
    }
    // Its time was over, or somebody else has woken it, neither of which widens it.
    set_affinity(m->head.tid, &wide);
  }
  apus_m_wake(m);
}
