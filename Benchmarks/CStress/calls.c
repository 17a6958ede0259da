// Each call that may sleep, once, for a given time.
#include "caller.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

/// A call of the feeder's that must succeed.
static void must(ssize_t result) {
  if (result < 0) {
    perror("apus-stress: feeder");
    abort();
  }
}

/// A sleep that began at `start` has returned `result`, 0 for the end of its time.
static int slept(int64_t start, int microseconds, int error) {
  if (error != 0) return error;
  return now(CLOCK_MONOTONIC) - start < microseconds * INT64_C(1000) ? STRESS_EARLY : STRESS_DONE;
}

static int call_nanosleep(stress_caller *caller, int us) {
  (void)caller;
  struct timespec time = in_ns(us * INT64_C(1000));
  int64_t start = now(CLOCK_MONOTONIC);
  return slept(start, us, nanosleep(&time, NULL) < 0 ? errno : 0);
}

static int call_clock_nanosleep(stress_caller *caller, int us) {
  (void)caller;
  struct timespec time = in_ns(us * INT64_C(1000));
  int64_t start = now(CLOCK_MONOTONIC);
  return slept(start, us, clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL));
}

static int call_clock_nanosleep_absolute(stress_caller *caller, int us) {
  (void)caller;
  int64_t start = now(CLOCK_MONOTONIC);
  struct timespec time = in_ns(start + us * INT64_C(1000));
  return slept(start, us, clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL));
}

static int call_usleep(stress_caller *caller, int us) {
  (void)caller;
  int64_t start = now(CLOCK_MONOTONIC);
  return slept(start, us, usleep(us) < 0 ? errno : 0);
}

/// The whole milliseconds of a time.
static int milliseconds(int us) { return us < 1000 ? 1 : us / 1000; }

/// Nothing came, as was due; or something did.
static int timed_out(int64_t start, int us, int result) {
  return result > 0 ? STRESS_WRONG : slept(start, us, result < 0 ? errno : 0);
}

static int call_poll(stress_caller *caller, int us) {
  struct pollfd file = {.fd = caller->pipe_out, .events = POLLIN};
  int64_t start = now(CLOCK_MONOTONIC);
  return timed_out(start, milliseconds(us) * 1000, poll(&file, 1, milliseconds(us)));
}

static int call_ppoll(stress_caller *caller, int us) {
  struct pollfd file = {.fd = caller->pipe_out, .events = POLLIN};
  struct timespec time = in_ns(us * INT64_C(1000));
  int64_t start = now(CLOCK_MONOTONIC);
  return timed_out(start, us, ppoll(&file, 1, &time, NULL));
}

static int call_select(stress_caller *caller, int us) {
  // The whole set: a descriptor may be too large for one.
  (void)caller;
  struct timeval time = {.tv_usec = us};
  int64_t start = now(CLOCK_MONOTONIC);
  return timed_out(start, us, select(0, NULL, NULL, NULL, &time));
}

static int call_pselect(stress_caller *caller, int us) {
  (void)caller;
  struct timespec time = in_ns(us * INT64_C(1000));
  int64_t start = now(CLOCK_MONOTONIC);
  return timed_out(start, us, pselect(0, NULL, NULL, NULL, &time, NULL));
}

static int call_epoll_wait(stress_caller *caller, int us) {
  struct epoll_event event;
  int64_t start = now(CLOCK_MONOTONIC);
  return timed_out(start, milliseconds(us) * 1000, epoll_wait(caller->epoll, &event, 1, milliseconds(us)));
}

static int call_read_timer(stress_caller *caller, int us) {
  struct itimerspec time = {.it_value = in_ns(us * INT64_C(1000))};
  int64_t start = now(CLOCK_MONOTONIC);
  if (timerfd_settime(caller->timer, 0, &time, NULL) < 0) return errno;
  uint64_t expirations = 0;
  if (read(caller->timer, &expirations, sizeof expirations) != sizeof expirations) return errno;
  return expirations != 1 ? STRESS_WRONG : slept(start, us, 0);
}

static void put_byte(stress_caller *caller) { must(write(caller->pipe_in, "p", 1)); }

static int call_read(stress_caller *caller, int us) {
  char byte = 0;
  later(caller, us, put_byte);
  if (read(caller->pipe_out, &byte, 1) != 1) return errno;
  return byte == 'p' ? STRESS_DONE : STRESS_WRONG;
}

/// What a write adds to the full pipe, and so has to wait for.
enum { PIPE_EXTRA = 1000 };

static void drain(stress_caller *caller) {
  char bytes[PIPE_ROOM];
  must(read(caller->pipe_out, bytes, sizeof bytes));
}

static int call_write(stress_caller *caller, int us) {
  char bytes[PIPE_ROOM];
  memset(bytes, 'w', sizeof bytes);
  if (write(caller->pipe_in, bytes, PIPE_ROOM) != PIPE_ROOM) return errno;
  later(caller, us, drain);
  ssize_t written = write(caller->pipe_in, bytes, PIPE_EXTRA);
  if (written < 0) return errno;
  if (written != PIPE_EXTRA) return STRESS_WRONG;
  int left = PIPE_EXTRA;
  while (left > 0) {
    ssize_t got = read(caller->pipe_out, bytes, left);
    if (got <= 0) return got < 0 ? errno : STRESS_WRONG;
    left -= got;
  }
  return STRESS_DONE;
}

/// A socket's timeout is told by EAGAIN. The kernel counts it in its own ticks and may round down by one.
static int socket_timed_out(ssize_t result) {
  if (result >= 0) return STRESS_WRONG;
  return errno == EAGAIN ? STRESS_DONE : errno;
}

static int call_recv(stress_caller *caller, int us) {
  char byte;
  if (set_timeout(caller->sockets[0], SO_RCVTIMEO, us) < 0) return errno;
  return socket_timed_out(recv(caller->sockets[0], &byte, 1, 0));
}

static int call_accept(stress_caller *caller, int us) {
  if (set_timeout(caller->listener, SO_RCVTIMEO, us) < 0) return errno;
  return socket_timed_out(accept(caller->listener, NULL, NULL));
}

/// Nobody accepts: the time passes.
static int call_connect_timeout(stress_caller *caller, int us) {
  int result = connect_to_full(caller, us);
  if (result >= 0) {
    close(result);
    return STRESS_WRONG;
  }
  return result == -EAGAIN ? STRESS_DONE : -result;
}

/// Makes room for one more in the full backlog.
static void accept_filler(stress_caller *caller) {
  int accepted = accept(caller->full_listener, NULL, NULL);
  must(accepted);
  must(close(accepted));
}

static int call_connect(stress_caller *caller, int us) {
  later(caller, us, accept_filler);
  int result = connect_to_full(caller, 0);
  if (result < 0) return -result;
  // It fills the backlog in the place of the one before.
  close(caller->filler);
  caller->filler = result;
  return STRESS_DONE;
}

static void unlock_file(stress_caller *caller) { must(flock(caller->locks[0], LOCK_UN)); }

static int call_flock(stress_caller *caller, int us) {
  if (flock(caller->locks[0], LOCK_EX) < 0) return errno;
  later(caller, us, unlock_file);
  if (flock(caller->locks[1], LOCK_EX) < 0) return errno;
  return flock(caller->locks[1], LOCK_UN) < 0 ? errno : STRESS_DONE;
}

static int record_lock(int file, short type, int command) {
  struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_len = 1};
  return fcntl(file, command, &lock);
}

static void unlock_record(stress_caller *caller) { must(record_lock(caller->locks[0], F_UNLCK, F_OFD_SETLK)); }

static int call_record_lock(stress_caller *caller, int us) {
  if (record_lock(caller->locks[0], F_WRLCK, F_OFD_SETLKW) < 0) return errno;
  later(caller, us, unlock_record);
  if (record_lock(caller->locks[1], F_WRLCK, F_OFD_SETLKW) < 0) return errno;
  return record_lock(caller->locks[1], F_UNLCK, F_OFD_SETLK) < 0 ? errno : STRESS_DONE;
}

static void post(stress_caller *caller) { must(sem_post(&caller->semaphore)); }

static int call_sem_wait(stress_caller *caller, int us) {
  later(caller, us, post);
  return sem_wait(&caller->semaphore) < 0 ? errno : STRESS_DONE;
}

static int call_sem_timedwait(stress_caller *caller, int us) {
  int64_t start = now(CLOCK_MONOTONIC);
  struct timespec until = in_ns(now(CLOCK_REALTIME) + us * INT64_C(1000));
  if (sem_timedwait(&caller->semaphore, &until) == 0) return STRESS_WRONG;
  return errno == ETIMEDOUT ? slept(start, us, 0) : errno;
}

static void signal_condition(stress_caller *caller) {
  pthread_mutex_lock(&caller->mutex);
  caller->signalled = 1;
  pthread_cond_signal(&caller->condition);
  pthread_mutex_unlock(&caller->mutex);
}

static int call_cond_wait(stress_caller *caller, int us) {
  int error = 0;
  pthread_mutex_lock(&caller->mutex);
  caller->signalled = 0;
  later(caller, us, signal_condition);
  while (error == 0 && !caller->signalled) error = pthread_cond_wait(&caller->condition, &caller->mutex);
  pthread_mutex_unlock(&caller->mutex);
  return error;
}

static int call_cond_timedwait(stress_caller *caller, int us) {
  int error = 0;
  int64_t start = now(CLOCK_MONOTONIC);
  struct timespec until = in_ns(now(CLOCK_REALTIME) + us * INT64_C(1000));
  pthread_mutex_lock(&caller->mutex);
  while (error == 0) error = pthread_cond_timedwait(&caller->condition, &caller->mutex, &until);
  pthread_mutex_unlock(&caller->mutex);
  return error == ETIMEDOUT ? slept(start, us, 0) : error;
}

static int call_sigtimedwait(stress_caller *caller, int us) {
  (void)caller;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 3);
  struct timespec time = in_ns(us * INT64_C(1000));
  int64_t start = now(CLOCK_MONOTONIC);
  if (sigtimedwait(&set, NULL, &time) >= 0) return STRESS_WRONG;
  return errno == EAGAIN ? slept(start, us, 0) : errno;
}

typedef struct message {
  long type;
  char text[8];
} message;

static void send_message(stress_caller *caller) {
  message text = {.type = 7, .text = "message"};
  must(msgsnd(caller->queue, &text, sizeof text.text, 0));
}

static int call_msgrcv(stress_caller *caller, int us) {
  if (caller->queue < 0) return STRESS_MISSING;
  message text;
  later(caller, us, send_message);
  if (msgrcv(caller->queue, &text, sizeof text.text, 0, 0) < 0) return errno;
  return text.type == 7 && strcmp(text.text, "message") == 0 ? STRESS_DONE : STRESS_WRONG;
}

static void raise_set(stress_caller *caller) {
  struct sembuf operation = {.sem_op = 1};
  must(semop(caller->set, &operation, 1));
}

static int call_semop(stress_caller *caller, int us) {
  if (caller->set < 0) return STRESS_MISSING;
  struct sembuf operation = {.sem_op = -1};
  later(caller, us, raise_set);
  return semop(caller->set, &operation, 1) < 0 ? errno : STRESS_DONE;
}

static int call_semtimedop(stress_caller *caller, int us) {
  if (caller->set < 0) return STRESS_MISSING;
  struct sembuf operation = {.sem_op = -1};
  struct timespec time = in_ns(us * INT64_C(1000));
  if (semtimedop(caller->set, &operation, 1, &time) == 0) return STRESS_WRONG;
  return errno == EAGAIN ? STRESS_DONE : errno;
}

static int call_waitpid(stress_caller *caller, int us) {
  (void)caller;
  (void)us;
  char *arguments[] = {"true", NULL}, *environment[] = {NULL};
  pid_t child;
  int error = posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environment);
  if (error != 0) return error;
  int status = -1;
  pid_t ended = waitpid(child, &status, 0);
  if (ended < 0) return errno;
  return ended == child && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? STRESS_DONE : STRESS_WRONG;
}

// MARK: the table

static const struct {
  const char *name;
  int (*once)(stress_caller *caller, int us);
  /// The kernel makes it return EINTR also for a signal that is dropped in the end.
  int is_weak;
} calls[] = {
    {"nanosleep", call_nanosleep, 0},
    {"clock_nanosleep", call_clock_nanosleep, 0},
    {"clock_nanosleep to a time", call_clock_nanosleep_absolute, 0},
    {"usleep", call_usleep, 0},
    {"poll", call_poll, 0},
    {"ppoll", call_ppoll, 0},
    {"select", call_select, 0},
    {"pselect", call_pselect, 0},
    {"epoll_wait", call_epoll_wait, 1},
    {"read of a timer", call_read_timer, 0},
    {"read", call_read, 0},
    {"write", call_write, 0},
    {"recv with a timeout", call_recv, 1},
    {"accept with a timeout", call_accept, 1},
    {"connect with a timeout", call_connect_timeout, 1},
    {"connect", call_connect, 0},
    {"flock", call_flock, 0},
    {"fcntl of a lock", call_record_lock, 0},
    {"sem_wait", call_sem_wait, 0},
    {"sem_timedwait", call_sem_timedwait, 0},
    {"pthread_cond_wait", call_cond_wait, 0},
    {"pthread_cond_timedwait", call_cond_timedwait, 0},
    {"sigtimedwait", call_sigtimedwait, 1},
    {"msgrcv", call_msgrcv, 1},
    {"semop", call_semop, 1},
    {"semtimedop", call_semtimedop, 1},
    // Last (stress_child_call): the end of a child is such a signal.
    {"waitpid", call_waitpid, 0},
};

int stress_call_count(void) { return sizeof calls / sizeof calls[0]; }

int stress_child_call(void) { return stress_call_count() - 1; }

int stress_call_is_weak(int call) { return calls[call].is_weak; }

const char *stress_call_name(int call) { return calls[call].name; }

int stress_call_once(stress_caller *caller, int call, int microseconds) { return calls[call].once(caller, microseconds); }
