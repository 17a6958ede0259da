// What the files of this target share.
#ifndef CALLER_H
#define CALLER_H

#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "CStress.h"

struct stress_caller {
  int pipe_in, pipe_out;
  int sockets[2];
  int timer;
  int epoll;
  /// Two open files of one file, for locks.
  int locks[2];
  /// A listening socket that nobody connects to, and one whose backlog is kept full.
  int listener, full_listener, filler;
  struct sockaddr_un full_address;
  socklen_t full_address_size;
  int queue, set;
  sem_t semaphore;
  pthread_mutex_t mutex;
  pthread_cond_t condition;
  int signalled;
};

/// What fits into the pipe.
enum { PIPE_ROOM = 4096 };

static inline int64_t now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static inline struct timespec in_ns(int64_t ns) {
  return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

/// Has the feeder call `act(caller)` after a time. Where somebody else has to end a sleep, that is the feeder: one thread
/// that does small things later.
void later(stress_caller *caller, int microseconds, void (*act)(stress_caller *));

/// Sets the timeout of receiving or sending.
int set_timeout(int socket, int option, int microseconds);

/// Connects to the full backlog, within a time or, with 0, however long it takes: the socket, or a negative errno.
int connect_to_full(stress_caller *caller, int microseconds);

#endif
