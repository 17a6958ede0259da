// Looks up the types and conformances that code without optimization would look up at their first use: there they are
// found by name, wherever that is, and put into tables that grow. A section of the runtime must not do so, as that takes
// the lock of malloc, which a stopped goroutine may hold.
//
// The compiler gives each name a variable, which holds the name's offset and its negative length until it holds the type,
// and each conformance a function that looks it up. They are found in the symbol table of the executable; where that was
// stripped, or another image has the code, nothing is.
#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "CApus.h"

extern const char __ehdr_start[] __attribute__((visibility("hidden")));

// swift/stdlib/public/runtime/MetadataLookup.cpp
extern const void *swift_getTypeByMangledNameInContext(
    const char *name, size_t length, const void *context, const void *const *arguments) __attribute__((swiftcall));

// What the compiler emits as __swift_instantiateConcreteTypeFromMangledName.
static int look_up_type(int64_t *variable) {
  int64_t value = __atomic_load_n(variable, __ATOMIC_RELAXED);
  if (value >= 0) return 0;
  const char *name = (const char *)variable + (int32_t)value;
  const void *type = swift_getTypeByMangledNameInContext(name, (size_t) - (value >> 32), NULL, NULL);
  if (type == NULL) return 0;
  __atomic_store_n(variable, (int64_t)(intptr_t)type, __ATOMIC_RELEASE);
  return 1;
}

static int ends_with(const char *name, size_t length, const char *suffix) {
  return length > 4 && name[0] == '$' && name[1] == 's' && memcmp(name + length - 2, suffix, 2) == 0;
}

typedef __attribute__((swiftcall)) const void *(*accessor)(void);

static int look_up(const Elf64_Sym *symbol, const char *name, uintptr_t bias) {
  size_t length = strlen(name);
  int type = ELF64_ST_TYPE(symbol->st_info);
  void *address = (void *)(symbol->st_value + bias);
  if (symbol->st_shndx == SHN_UNDEF) return 0;
  if (type == STT_OBJECT && symbol->st_size == sizeof(int64_t) && ends_with(name, length, "MD"))
    return look_up_type(address);
  if (type == STT_FUNC && ends_with(name, length, "Wl")) {
    ((accessor)address)();
    return 1;
  }
  return 0;
}

static int look_up_all(const char *file, size_t size) {
  const Elf64_Ehdr *header = (const Elf64_Ehdr *)file;
  const Elf64_Phdr *segment = (const Elf64_Phdr *)(file + header->e_phoff);
  const Elf64_Shdr *sections = (const Elf64_Shdr *)(file + header->e_shoff);
  if (header->e_shoff == 0 || header->e_shoff + (uint64_t)header->e_shnum * sizeof *sections > size) return 0;
  while (segment->p_type != PT_LOAD) segment++;
  uintptr_t bias = (uintptr_t)__ehdr_start - (segment->p_vaddr - segment->p_offset);
  int count = 0;
  for (int index = 0; index < header->e_shnum; index++) {
    const Elf64_Shdr *table = &sections[index];
    if (table->sh_type != SHT_SYMTAB || table->sh_offset + table->sh_size > size) continue;
    const Elf64_Sym *symbols = (const Elf64_Sym *)(file + table->sh_offset);
    const char *names = file + sections[table->sh_link].sh_offset;
    for (size_t number = 0; number < table->sh_size / sizeof *symbols; number++)
      count += look_up(&symbols[number], names + symbols[number].st_name, bias);
  }
  return count;
}

int apus_metadata_prepare(void) {
  int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  struct stat status;
  if (fd < 0) return 0;
  int count = 0;
  if (fstat(fd, &status) == 0 && status.st_size > (off_t)sizeof(Elf64_Ehdr)) {
    void *file = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (file != MAP_FAILED) {
      count = look_up_all(file, (size_t)status.st_size);
      munmap(file, (size_t)status.st_size);
    }
  }
  close(fd);
  return count;
}
