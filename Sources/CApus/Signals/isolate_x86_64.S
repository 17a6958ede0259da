// The call of a body that may be left by a trap. What is saved below the frame pointer, from the stack pointer upwards:
//   +0 mxcsr (4), x87 control word (2), padding (2)   +8 r15  +16 r14  +24 r13  +32 r12  +40 rbx
#if defined(__x86_64__)

        .text
        .globl  apus_isolate
        .hidden apus_isolate
        .type   apus_isolate, @function
        .p2align 4
apus_isolate:                           // (rdi: isolation, rsi: body, rdx: argument) -> al
        .cfi_startproc
        pushq   %rbp
        .cfi_def_cfa_offset 16
        .cfi_offset %rbp, -16
        movq    %rsp, %rbp
        .cfi_def_cfa_register %rbp
        pushq   %rbx
        .cfi_offset %rbx, -24
        pushq   %r12
        .cfi_offset %r12, -32
        pushq   %r13
        .cfi_offset %r13, -40
        pushq   %r14
        .cfi_offset %r14, -48
        pushq   %r15
        .cfi_offset %r15, -56
        subq    $8, %rsp
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movq    %rsp, (%rdi)
        movq    %rdx, %rdi
        callq   *%rsi
        xorl    %eax, %eax
1:      addq    $8, %rsp
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbx
        popq    %rbp
        .cfi_remember_state
        .cfi_def_cfa %rsp, 8
        retq
        .cfi_restore_state

        .globl  apus_isolation_landing
        .hidden apus_isolation_landing
apus_isolation_landing:                 // (rsp: what was saved)
        leaq    48(%rsp), %rbp
        ldmxcsr (%rsp)
        fldcw   4(%rsp)
        movl    $1, %eax
        jmp     1b
        .cfi_endproc
        .size   apus_isolate, .-apus_isolate

        .globl  apus_isolation_leave
        .hidden apus_isolation_leave
        .type   apus_isolation_leave, @function
        .p2align 4
apus_isolation_leave:                   // (rdi: isolation)
        .cfi_startproc
        movq    (%rdi), %rsp
        .cfi_undefined %rip
        jmp     apus_isolation_landing
        .cfi_endproc
        .size   apus_isolation_leave, .-apus_isolation_leave
#endif

        // Outside the condition: an object without it, an empty one too, makes some linkers ask for executable stacks.
        .section .note.GNU-stack,"",%progbits
