// The ELF entry point of x86-64, and the linker flag that makes it one.
#if defined(__x86_64__)

        // Swift's autolink section carries flags to the link of whatever program uses this package, also as a
        // dependency, where SwiftPM refuses unsafe flags. Undocumented, so `apus_initial_sp` stays 0 when it was
        // ignored and the runtime then starts at its first use (Boot/LazyStart.swift).
        .section .swift1_autolink_entries,"e",@progbits
        .asciz  "-Wl,-e,_rt0_amd64_linux"

        .text
        .globl  _rt0_amd64_linux
        .type   _rt0_amd64_linux, @function
        .p2align 4
        // The kernel enters here with argc at the stack pointer, then argv, the environment and the auxiliary vector;
        // rdx holds the dynamic linker's destructor. Does what libc's crt1 does, with `rt0_main` in place of `main`:
        // libc and the Swift runtime are fully up when that is called.
_rt0_amd64_linux:
        .cfi_startproc
        .cfi_undefined %rip
        xorl    %ebp, %ebp
        movq    %rdx, %r9               // rtld_fini
        rdtsc
        shlq    $32, %rdx
        orq     %rdx, %rax
        movq    %rax, apus_entry_ticks(%rip)
        movq    %rsp, apus_initial_sp(%rip)
        popq    %rsi                    // argc
        movq    %rsp, %rdx              // argv
        andq    $-16, %rsp
        pushq   %rax
        pushq   %rsp                    // stack_end
        xorl    %r8d, %r8d              // fini
        xorl    %ecx, %ecx              // init
        movq    __libc_csu_fini@GOTPCREL(%rip), %rax
        testq   %rax, %rax
        cmovneq %rax, %r8
        movq    __libc_csu_init@GOTPCREL(%rip), %rax
        testq   %rax, %rax
        cmovneq %rax, %rcx
        leaq    rt0_main(%rip), %rdi
        callq   *__libc_start_main@GOTPCREL(%rip)
        hlt
        .cfi_endproc
        .size   _rt0_amd64_linux, .-_rt0_amd64_linux

        .weak   __libc_csu_init
        .weak   __libc_csu_fini

        .globl  apus_entry_address
        .hidden apus_entry_address
        .type   apus_entry_address, @function
apus_entry_address:
        .cfi_startproc
        leaq    _rt0_amd64_linux(%rip), %rax
        retq
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
        .section .note.GNU-stack,"",%progbits
