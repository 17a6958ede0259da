// The stack switch of x86-64. A saved context is, from its stack pointer upwards:
//   +0 mxcsr (4), x87 control word (2), padding (2)
//   +8 r15  +16 r14  +24 r13  +32 r12  +40 rbx  +48 rbp  +56 the address to continue at
// Only what the System V ABI calls callee-saved is there: to its caller `apus_switch` is an ordinary call, and Swift's
// own context registers (r12 to r14) are among the six.
#if defined(__x86_64__)

        .text
        .globl  apus_switch
        .hidden apus_switch
        .type   apus_switch, @function
        .p2align 5
apus_switch:                            // (rdi: where to save the stack pointer, rsi: the one to continue)
        .cfi_startproc
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r15, 0
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movl    (%rsp), %eax
        movzwl  4(%rsp), %edx
        movq    %rsp, (%rdi)
        movq    %rsi, %rsp
        // Loading either control word is slow, so only what differs is loaded: the low six bits of mxcsr are sticky
        // exception flags and belong to nobody.
        xorl    (%rsp), %eax
        testl   $0xffc0, %eax
        jne     3f
1:      cmpw    %dx, 4(%rsp)
        jne     4f
2:      addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        popq    %r15
        .cfi_adjust_cfa_offset -8
        popq    %r14
        .cfi_adjust_cfa_offset -8
        popq    %r13
        .cfi_adjust_cfa_offset -8
        popq    %r12
        .cfi_adjust_cfa_offset -8
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        // Not `ret`: the return predictor holds the callers of the stack just left, and each miss costs 16 to 25 ns.
        popq    %rcx
        .cfi_adjust_cfa_offset -8
        .cfi_register %rip, %rcx
        jmpq    *%rcx
        .cfi_adjust_cfa_offset 64
3:      ldmxcsr (%rsp)
        jmp     1b
4:      fldcw   4(%rsp)
        jmp     2b
        .cfi_endproc
        .size   apus_switch, .-apus_switch

        .globl  apus_make_context
        .hidden apus_make_context
        .type   apus_make_context, @function
        .p2align 4
apus_make_context:                      // (rdi: top) -> rax
        .cfi_startproc
        // The return address lies one byte into `apus_goexit`: unwinders look up the address before a return address,
        // which is then still inside it.
        leaq    apus_goexit+1(%rip), %rax
        movq    %rax, -8(%rdi)
        leaq    apus_goroutine_main(%rip), %rax
        movq    %rax, -16(%rdi)
        xorl    %eax, %eax
        movq    %rax, -24(%rdi)         // rbp = 0 ends a walk along frame pointers
        movq    %rax, -32(%rdi)
        movq    %rax, -40(%rdi)
        movq    %rax, -48(%rdi)
        movq    %rax, -56(%rdi)
        movq    %rax, -64(%rdi)
        leaq    -72(%rdi), %rax
        movl    $0x1f80, (%rax)         // the modes of the ABI: all exceptions masked, round to nearest
        movl    $0x037f, 4(%rax)
        retq
        .cfi_endproc
        .size   apus_make_context, .-apus_make_context

        .globl  apus_goexit
        .hidden apus_goexit
        .type   apus_goexit, @function
        .p2align 4
apus_goexit:
        .cfi_startproc
        .cfi_undefined %rip
        nop
1:      xorl    %ebp, %ebp
        callq   apus_goexit1            // returns only when the next goroutine starts on this very stack
        // It starts with the ABI's floating-point modes, whatever the last one left.
        subq    $16, %rsp
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movl    (%rsp), %eax
        xorl    $0x1f80, %eax
        testl   $0xffc0, %eax
        je      2f
        movl    $0x1f80, (%rsp)
        ldmxcsr (%rsp)
2:      cmpw    $0x037f, 4(%rsp)
        je      3f
        movw    $0x037f, 4(%rsp)
        fldcw   4(%rsp)
3:      addq    $16, %rsp
        xorl    %ebp, %ebp
        callq   apus_goroutine_main
        jmp     1b
        .cfi_endproc
        .size   apus_goexit, .-apus_goexit

        .globl  apus_call_on_stack
        .hidden apus_call_on_stack
        .type   apus_call_on_stack, @function
        .p2align 4
apus_call_on_stack:                     // (rdi: top, rsi: body, rdx: argument)
        .cfi_startproc
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        movq    %rsp, %rbp
        .cfi_def_cfa_register %rbp
        movq    %rdi, %rsp
        andq    $-16, %rsp
        movq    %rdx, %rdi
        callq   *%rsi
        movq    %rbp, %rsp
        popq    %rbp
        .cfi_def_cfa %rsp, 8
        retq
        .cfi_endproc
        .size   apus_call_on_stack, .-apus_call_on_stack

        .globl  apus_system_stack
        .hidden apus_system_stack
        .type   apus_system_stack, @function
        .p2align 4
apus_system_stack:                      // (rdi: where to save the stack pointer, rsi: top, rdx: body, rcx: argument)
        .cfi_startproc
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
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
        movq    %rsp, (%rdi)
        movq    %rsi, %rsp
        andq    $-16, %rsp
        movq    %rcx, %rdi
        callq   *%rdx
        leaq    -40(%rbp), %rsp
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbx
        popq    %rbp
        .cfi_def_cfa %rsp, 8
        retq
        .cfi_endproc
        .size   apus_system_stack, .-apus_system_stack
#endif

        // Outside the condition: an object without it, an empty one too, makes some linkers ask for executable stacks.
        .section .note.GNU-stack,"",%progbits
