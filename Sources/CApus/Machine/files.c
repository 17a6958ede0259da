// Files and output, without libc's buffers.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "CApus.h"

int64_t apus_write(int fd, const void *bytes, size_t count) {
  ssize_t r = write(fd, bytes, count);
  return r < 0 ? -errno : r;
}

int apus_open_read(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int apus_open_write(const char *path) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  return fd < 0 ? -errno : fd;
}

int64_t apus_read(int fd, void *bytes, size_t count) {
  ssize_t r = APUS_SHELF_REPEATED(read(fd, bytes, count), apus_shelf_restore_range(bytes, count));
  return r < 0 ? -errno : r;
}

int apus_close(int fd) { return close(fd) < 0 ? -errno : 0; }

const void *apus_map_file(const char *path, size_t *size) {
  struct stat status;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return NULL;
  void *p = MAP_FAILED;
  if (fstat(fd, &status) == 0 && status.st_size > 0)
    p = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  if (p == MAP_FAILED) return NULL;
  *size = (size_t)status.st_size;
  return p;
}
