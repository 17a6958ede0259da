// The loaded images: the program and its libraries.
#define _GNU_SOURCE
#include <link.h>
#include <stddef.h>
#include <sys/auxv.h>

#include "CApusMachine.h"

typedef struct {
  apus_image_callback callback;
  void *context;
} image_walk;

/// The calling thread's thread-local block of an image; NULL where there is none, or libc does not say.
static void *tls_of(const struct dl_phdr_info *info, size_t size) {
  return size >= offsetof(struct dl_phdr_info, dlpi_tls_data) + sizeof info->dlpi_tls_data ? info->dlpi_tls_data : NULL;
}

static int image_visit(struct dl_phdr_info *info, size_t size, void *data) {
  image_walk *walk = data;
  return walk->callback(walk->context, info->dlpi_name, info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum,
                        tls_of(info, size));
}

int apus_each_image(apus_image_callback callback, void *context) {
  image_walk walk = {callback, context};
  return dl_iterate_phdr(image_visit, &walk);
}

apus_image apus_make_image(const char *path, uintptr_t base, const void *program_headers, uint16_t program_header_count,
                           void *tls) {
  // The main program has no name in the dynamic linker's list.
  bool is_main = path == NULL || path[0] == 0;
  return (apus_image){.path = is_main ? (const char *)getauxval(AT_EXECFN) : path,
                      .base = base,
                      .headers = program_headers,
                      .header_count = program_header_count,
                      .tls = tls,
                      .is_main = is_main};
}

typedef struct {
  uintptr_t address;
  apus_image *image;
} image_search;

static int image_holds(struct dl_phdr_info *info, size_t size, void *data) {
  image_search *search = data;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *header = &info->dlpi_phdr[i];
    if (header->p_type != PT_LOAD || search->address - (info->dlpi_addr + header->p_vaddr) >= header->p_memsz) continue;
    *search->image =
        apus_make_image(info->dlpi_name, info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum, tls_of(info, size));
    return 1;
  }
  return 0;
}

bool apus_find_image(uintptr_t address, apus_image *image) {
  image_search search = {address, image};
  return dl_iterate_phdr(image_holds, &search) == 1;
}

size_t apus_tls_segment_size(const void *program_headers, uint16_t count) {
  const ElfW(Phdr) *headers = program_headers;
  for (uint16_t i = 0; i < count; i++)
    if (headers[i].p_type == PT_TLS) return headers[i].p_memsz;
  return 0;
}
