// Requests of other processes (see CApusAttach.h).
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "CApus.h"
#include "../Signals/CApusSignals.h"

/// How long a command may not read before it counts as gone.
enum { PATIENCE_SECONDS = 10 };

// Null until requests are taken.
static uint32_t *_Atomic thread_wake = NULL;
static _Atomic uint64_t request = 0;

void apus_attach_arm(uint32_t *wake) {
  atomic_store(&thread_wake, wake);
  uint64_t mask = apus_signal_bit(APUS_PREEMPT_SIGNAL);
  apus_signal_mask_change(SIG_UNBLOCK, &mask, NULL);
}

void apus_attach_note(const siginfo_t *info) {
  uint64_t number = (uint64_t)(uintptr_t)info->si_value.sival_ptr;
  uint32_t *wake = atomic_load(&thread_wake);
  if (info->si_code != SI_QUEUE || number >> 48 != APUS_ATTACH_MAGIC || wake == NULL) return;
  atomic_store(&request, number);
  // A sleep that has not begun yet finds another value than it expects.
  if (__atomic_exchange_n(wake, 1, __ATOMIC_SEQ_CST) == 0) apus_futex_wake(wake, 1);
}

uint64_t apus_attach_take(void) {
  if (atomic_load_explicit(&request, memory_order_relaxed) == 0) return 0;
  return atomic_exchange(&request, 0);
}

/// Whether the process at the other end, which listened there, may look into this one.
static _Bool is_allowed(int fd) {
  struct ucred peer;
  socklen_t length = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) return 0;
  return peer.uid == 0 || peer.uid == geteuid();
}

int apus_attach_connect(uint64_t number) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int length = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, APUS_ATTACH_NAME,
                        (unsigned long long)number);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
  int error = 0;
  if (connect(fd, (struct sockaddr *)&address, size) < 0)
    error = errno;
  else if (!is_allowed(fd))
    error = EPERM;
  if (error == 0) return fd;
  close(fd);
  return -error;
}

/// Waits until something of `events` is the case, or the other side has hung up; 0, or a negative errno.
static int await(int fd, short events, int64_t timeout_ns) {
  struct pollfd wanted = {.fd = fd, .events = events};
  struct timespec time = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
  int count = ppoll(&wanted, 1, timeout_ns < 0 ? NULL : &time, NULL);
  return count > 0 ? 0 : count == 0 ? -EAGAIN : -errno;
}

_Bool apus_attach_send(int fd, char kind, const void *bytes, size_t count) {
  struct iovec parts[2] = {{&kind, 1}, {(void *)bytes, count}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
  for (;;) {
    if (sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return 1;
    int error = errno;
    if (error == EAGAIN) error = -await(fd, POLLOUT, PATIENCE_SECONDS * 1000000000LL);
    if (error == 0 || error == EINTR) continue;
    // So that whoever goes on sending need not wait again.
    shutdown(fd, SHUT_RDWR);
    return 0;
  }
}

ptrdiff_t apus_attach_receive(int fd, void *bytes, size_t size, int64_t timeout_ns, int *passed) {
  *passed = -1;
  struct iovec part = {bytes, size};
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control;
  for (;;) {
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t count = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (count < 0) {
      int error = errno == EAGAIN ? await(fd, POLLIN, timeout_ns) : -errno;
      if (error == 0 || error == -EINTR) continue;
      return error;
    }
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
      memcpy(passed, CMSG_DATA(header), sizeof(int));
    return count;
  }
}

_Bool apus_is_file(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}
