// What one goroutine needs for its calls.
#include "caller.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/timerfd.h>
#include <unistd.h>

int set_timeout(int socket, int option, int us) {
  struct timeval time = {.tv_usec = us};
  return setsockopt(socket, SOL_SOCKET, option, &time, sizeof time);
}

int connect_to_full(stress_caller *caller, int us) {
  int socket_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket_ < 0) return -errno;
  if (us > 0 && set_timeout(socket_, SO_SNDTIMEO, us) < 0) return -errno;
  if (connect(socket_, (struct sockaddr *)&caller->full_address, caller->full_address_size) < 0) {
    int error = errno;
    close(socket_);
    return -error;
  }
  return socket_;
}

/// A listening socket with a name of the kernel's choice; -1 when it cannot be.
static int listen_somewhere(struct sockaddr_un *address, socklen_t *size, int backlog) {
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  if (listener < 0 || bind(listener, (struct sockaddr *)address, sizeof(sa_family_t)) < 0) return -1;
  *size = sizeof *address;
  if (getsockname(listener, (struct sockaddr *)address, size) < 0) return -1;
  return listen(listener, backlog) < 0 ? -1 : listener;
}

/// Another open file of the file behind `file`.
static int open_again(int file) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  return open(path, O_RDWR | O_CLOEXEC);
}

stress_caller *stress_caller_make(void) {
  stress_caller *caller = calloc(1, sizeof *caller);
  if (caller == NULL) return NULL;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return NULL;
  caller->pipe_out = ends[0];
  caller->pipe_in = ends[1];
  if (fcntl(caller->pipe_in, F_SETPIPE_SZ, PIPE_ROOM) < 0) return NULL;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, caller->sockets) < 0) return NULL;
  caller->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  caller->epoll = epoll_create1(EPOLL_CLOEXEC);
  caller->locks[0] = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  caller->locks[1] = open_again(caller->locks[0]);
  caller->listener = listen_somewhere(&caller->full_address, &caller->full_address_size, 1);
  caller->full_listener = listen_somewhere(&caller->full_address, &caller->full_address_size, 0);
  if (caller->timer < 0 || caller->epoll < 0 || caller->locks[1] < 0 || caller->listener < 0 ||
      caller->full_listener < 0)
    return NULL;
  caller->filler = connect_to_full(caller, 0);
  if (caller->filler < 0) return NULL;
  caller->queue = msgget(IPC_PRIVATE, 0600);
  caller->set = semget(IPC_PRIVATE, 1, 0600);
  sem_init(&caller->semaphore, 0, 0);
  pthread_mutex_init(&caller->mutex, NULL);
  pthread_cond_init(&caller->condition, NULL);
  return caller;
}

void stress_caller_free(stress_caller *caller) {
  const int files[] = {
      caller->pipe_in,  caller->pipe_out, caller->sockets[0], caller->sockets[1],    caller->timer,  caller->epoll,
      caller->locks[0], caller->locks[1], caller->listener,   caller->full_listener, caller->filler,
  };
  for (unsigned i = 0; i < sizeof files / sizeof files[0]; i++) close(files[i]);
  if (caller->queue >= 0) msgctl(caller->queue, IPC_RMID, NULL);
  if (caller->set >= 0) semctl(caller->set, 0, IPC_RMID);
  // The feeder may be on its way out of the last thing that it did here.
  pthread_mutex_lock(&caller->mutex);
  pthread_mutex_unlock(&caller->mutex);
  free(caller);
}
