// The ELF entry point of aarch64, and the linker flag that makes it one: assembled by CI, never run.
#if defined(__aarch64__)

        // entry_x86_64.S says what this section does, and what happens where a linker ignores it.
        .section .swift1_autolink_entries,"e",@progbits
        .asciz  "-Wl,-e,_rt0_arm64_linux"

        .text
        .globl  _rt0_arm64_linux
        .type   _rt0_arm64_linux, @function
        .p2align 4
        // The kernel enters here with argc at the stack pointer, then argv, the environment and the auxiliary vector;
        // x0 holds the dynamic linker's destructor. Does what libc's crt1 does, with `rt0_main` in place of `main`:
        // libc and the Swift runtime are fully up when that is called.
_rt0_arm64_linux:
        .cfi_startproc
        .cfi_undefined x30
        mov     x29, xzr
        mov     x30, xzr
        mov     x5, x0                  // rtld_fini
        mrs     x9, cntvct_el0
        adrp    x10, apus_entry_ticks
        str     x9, [x10, :lo12:apus_entry_ticks]
        mov     x6, sp                  // stack_end
        adrp    x10, apus_initial_sp
        str     x6, [x10, :lo12:apus_initial_sp]
        ldr     x1, [sp]                // argc
        add     x2, sp, #8              // argv
        // Both are absent, and so 0, since glibc 2.34.
        adrp    x3, :got:__libc_csu_init
        ldr     x3, [x3, :got_lo12:__libc_csu_init]
        adrp    x4, :got:__libc_csu_fini
        ldr     x4, [x4, :got_lo12:__libc_csu_fini]
        adrp    x0, rt0_main
        add     x0, x0, :lo12:rt0_main
        bl      __libc_start_main
        brk     #1
        .cfi_endproc
        .size   _rt0_arm64_linux, .-_rt0_arm64_linux

        .weak   __libc_csu_init
        .weak   __libc_csu_fini

        .globl  apus_entry_address
        .hidden apus_entry_address
        .type   apus_entry_address, @function
apus_entry_address:
        .cfi_startproc
        adrp    x0, _rt0_arm64_linux
        add     x0, x0, :lo12:_rt0_arm64_linux
        ret
        .cfi_endproc
        .size   apus_entry_address, .-apus_entry_address

        .bss
        .globl  apus_initial_sp
        .hidden apus_initial_sp
        .p2align 3
apus_initial_sp:
        .quad   0
        .globl  apus_entry_ticks
        .hidden apus_entry_ticks
apus_entry_ticks:
        .quad   0
#endif

        // Outside the condition: an object without it, an empty one too, makes some linkers ask for executable stacks.
        .section .note.GNU-stack,"",@progbits
