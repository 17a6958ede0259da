// The stack switch of aarch64: assembled by CI, never run. A saved context is, from its stack pointer upwards:
//   +0 x29, x30  +16 x19, x20  +32 x21, x22  +48 x23, x24  +64 x25, x26  +80 x27, x28
//   +96 d8, d9  +112 d10, d11  +128 d12, d13  +144 d14, d15  +160 fpcr  +168 the address to continue at
// Only what the procedure call standard calls callee-saved is there: to its caller `apus_switch` is an ordinary call.
// Swift's own context registers (x20 to x22) are among them. The address to continue at is x30 but for a goroutine that
// has not run yet: that one continues at its entry and returns to x30.
#if defined(__aarch64__)

        .text
        .globl  apus_switch
        .hidden apus_switch
        .type   apus_switch, @function
        .p2align 5
apus_switch:                            // (x0: where to save the stack pointer, x1: the one to continue)
        .cfi_startproc
        stp     x29, x30, [sp, #-176]!
        .cfi_adjust_cfa_offset 176
        .cfi_rel_offset x29, 0
        .cfi_rel_offset x30, 8
        stp     x19, x20, [sp, #16]
        .cfi_rel_offset x19, 16
        .cfi_rel_offset x20, 24
        stp     x21, x22, [sp, #32]
        .cfi_rel_offset x21, 32
        .cfi_rel_offset x22, 40
        stp     x23, x24, [sp, #48]
        .cfi_rel_offset x23, 48
        .cfi_rel_offset x24, 56
        stp     x25, x26, [sp, #64]
        .cfi_rel_offset x25, 64
        .cfi_rel_offset x26, 72
        stp     x27, x28, [sp, #80]
        .cfi_rel_offset x27, 80
        .cfi_rel_offset x28, 88
        stp     d8, d9, [sp, #96]
        .cfi_rel_offset d8, 96
        .cfi_rel_offset d9, 104
        stp     d10, d11, [sp, #112]
        .cfi_rel_offset d10, 112
        .cfi_rel_offset d11, 120
        stp     d12, d13, [sp, #128]
        .cfi_rel_offset d12, 128
        .cfi_rel_offset d13, 136
        stp     d14, d15, [sp, #144]
        .cfi_rel_offset d14, 144
        .cfi_rel_offset d15, 152
        mrs     x9, fpcr
        stp     x9, x30, [sp, #160]
        mov     x10, sp
        str     x10, [x0]
        mov     sp, x1
        // From here on the unwind information above describes the other stack: its frame has the same layout.
        ldp     x10, x16, [sp, #160]
        // Writing the control register may stall the pipeline, so only a difference is written. fpsr holds sticky
        // exception flags, which belong to nobody.
        cmp     x9, x10
        b.ne    2f
1:      ldp     x19, x20, [sp, #16]
        ldp     x21, x22, [sp, #32]
        ldp     x23, x24, [sp, #48]
        ldp     x25, x26, [sp, #64]
        ldp     x27, x28, [sp, #80]
        ldp     d8, d9, [sp, #96]
        ldp     d10, d11, [sp, #112]
        ldp     d12, d13, [sp, #128]
        ldp     d14, d15, [sp, #144]
        .cfi_remember_state
        ldp     x29, x30, [sp], #176
        .cfi_adjust_cfa_offset -176
        .cfi_same_value x19
        .cfi_same_value x20
        .cfi_same_value x21
        .cfi_same_value x22
        .cfi_same_value x23
        .cfi_same_value x24
        .cfi_same_value x25
        .cfi_same_value x26
        .cfi_same_value x27
        .cfi_same_value x28
        .cfi_same_value x29
        .cfi_same_value x30
        .cfi_same_value d8
        .cfi_same_value d9
        .cfi_same_value d10
        .cfi_same_value d11
        .cfi_same_value d12
        .cfi_same_value d13
        .cfi_same_value d14
        .cfi_same_value d15
        // Not `ret`: the return predictor holds the callers of the stack just left.
        br      x16
        .cfi_restore_state
2:      msr     fpcr, x10
        b       1b
        .cfi_endproc
        .size   apus_switch, .-apus_switch

        .globl  apus_make_context
        .hidden apus_make_context
        .type   apus_make_context, @function
        .p2align 4
apus_make_context:                      // (x0: top) -> x0
        .cfi_startproc
        sub     x0, x0, #176
        // The return address is the second instruction of `apus_goexit`: unwinders look up the address before a return
        // address, which is then still inside it.
        adrp    x9, apus_goexit
        add     x9, x9, :lo12:apus_goexit
        add     x9, x9, #4
        stp     xzr, x9, [x0]           // x29 = 0 ends a walk along frame pointers
        stp     xzr, xzr, [x0, #16]
        stp     xzr, xzr, [x0, #32]
        stp     xzr, xzr, [x0, #48]
        stp     xzr, xzr, [x0, #64]
        stp     xzr, xzr, [x0, #80]
        stp     xzr, xzr, [x0, #96]
        stp     xzr, xzr, [x0, #112]
        stp     xzr, xzr, [x0, #128]
        stp     xzr, xzr, [x0, #144]
        mov     x9, xzr                 // fpcr: a goroutine starts with the modes of the ABI
        adrp    x10, apus_goroutine_main
        add     x10, x10, :lo12:apus_goroutine_main
        stp     x9, x10, [x0, #160]
        ret
        .cfi_endproc
        .size   apus_make_context, .-apus_make_context

        .globl  apus_goexit
        .hidden apus_goexit
        .type   apus_goexit, @function
        .p2align 4
apus_goexit:
        .cfi_startproc
        .cfi_undefined x30
        nop
1:      mov     x29, xzr
        bl      apus_goexit1            // returns only when the next goroutine starts on this very stack
        msr     fpcr, xzr               // with the ABI's floating-point modes, whatever the last one left
        mov     x29, xzr
        bl      apus_goroutine_main
        b       1b
        .cfi_endproc
        .size   apus_goexit, .-apus_goexit

        .globl  apus_call_on_stack
        .hidden apus_call_on_stack
        .type   apus_call_on_stack, @function
        .p2align 4
apus_call_on_stack:                     // (x0: top, x1: body, x2: argument)
        .cfi_startproc
        stp     x29, x30, [sp, #-16]!
        .cfi_adjust_cfa_offset 16
        .cfi_rel_offset x29, 0
        .cfi_rel_offset x30, 8
        mov     x29, sp
        .cfi_def_cfa_register x29
        and     sp, x0, #-16
        mov     x0, x2
        blr     x1
        mov     sp, x29
        .cfi_def_cfa_register sp
        ldp     x29, x30, [sp], #16
        .cfi_adjust_cfa_offset -16
        .cfi_restore x29
        .cfi_restore x30
        ret
        .cfi_endproc
        .size   apus_call_on_stack, .-apus_call_on_stack

        .globl  apus_system_stack
        .hidden apus_system_stack
        .type   apus_system_stack, @function
        .p2align 4
apus_system_stack:                      // (x0: where to save the stack pointer, x1: top, x2: body, x3: argument)
        .cfi_startproc
        stp     x29, x30, [sp, #-16]!
        .cfi_adjust_cfa_offset 16
        .cfi_rel_offset x29, 0
        .cfi_rel_offset x30, 8
        mov     x29, sp
        .cfi_def_cfa_register x29
        stp     x19, x20, [sp, #-144]!
        .cfi_offset x19, -160
        .cfi_offset x20, -152
        stp     x21, x22, [sp, #16]
        .cfi_offset x21, -144
        .cfi_offset x22, -136
        stp     x23, x24, [sp, #32]
        .cfi_offset x23, -128
        .cfi_offset x24, -120
        stp     x25, x26, [sp, #48]
        .cfi_offset x25, -112
        .cfi_offset x26, -104
        stp     x27, x28, [sp, #64]
        .cfi_offset x27, -96
        .cfi_offset x28, -88
        stp     d8, d9, [sp, #80]
        stp     d10, d11, [sp, #96]
        stp     d12, d13, [sp, #112]
        stp     d14, d15, [sp, #128]
        mov     x9, sp
        str     x9, [x0]
        and     sp, x1, #-16
        mov     x0, x3
        blr     x2
        sub     sp, x29, #144
        ldp     d14, d15, [sp, #128]
        ldp     d12, d13, [sp, #112]
        ldp     d10, d11, [sp, #96]
        ldp     d8, d9, [sp, #80]
        ldp     x27, x28, [sp, #64]
        ldp     x25, x26, [sp, #48]
        ldp     x23, x24, [sp, #32]
        ldp     x21, x22, [sp, #16]
        ldp     x19, x20, [sp], #144
        .cfi_def_cfa sp, 16
        ldp     x29, x30, [sp], #16
        .cfi_adjust_cfa_offset -16
        ret
        .cfi_endproc
        .size   apus_system_stack, .-apus_system_stack
#endif

        // Outside the condition: an object without it, an empty one too, makes some linkers ask for executable stacks.
        .section .note.GNU-stack,"",@progbits
