// The call of a body that may be left by a trap. What is saved, from the stack pointer upwards:
//   +0 d8 … d15   +64 x19 … x28   +144 fpcr   +160 x29, x30
#if defined(__aarch64__)

        .text
        .globl  apus_isolate
        .hidden apus_isolate
        .type   apus_isolate, %function
        .p2align 4
apus_isolate:                           // (x0: isolation, x1: body, x2: argument) -> w0
        .cfi_startproc
        stp     x29, x30, [sp, #-16]!
        .cfi_def_cfa_offset 16
        .cfi_offset x29, -16
        .cfi_offset x30, -8
        mov     x29, sp
        .cfi_def_cfa x29, 16
        sub     sp, sp, #160
        stp     d8, d9, [sp]
        stp     d10, d11, [sp, #16]
        stp     d12, d13, [sp, #32]
        stp     d14, d15, [sp, #48]
        stp     x19, x20, [sp, #64]
        stp     x21, x22, [sp, #80]
        stp     x23, x24, [sp, #96]
        stp     x25, x26, [sp, #112]
        stp     x27, x28, [sp, #128]
        .cfi_offset x19, -112
        .cfi_offset x20, -104
        .cfi_offset x21, -96
        .cfi_offset x22, -88
        .cfi_offset x23, -80
        .cfi_offset x24, -72
        .cfi_offset x25, -64
        .cfi_offset x26, -56
        .cfi_offset x27, -48
        .cfi_offset x28, -40
        mrs     x9, fpcr
        str     x9, [sp, #144]
        mov     x9, sp
        str     x9, [x0]
        mov     x0, x2
        blr     x1
        mov     w0, wzr
1:      ldp     d8, d9, [sp]
        ldp     d10, d11, [sp, #16]
        ldp     d12, d13, [sp, #32]
        ldp     d14, d15, [sp, #48]
        ldp     x19, x20, [sp, #64]
        ldp     x21, x22, [sp, #80]
        ldp     x23, x24, [sp, #96]
        ldp     x25, x26, [sp, #112]
        ldp     x27, x28, [sp, #128]
        add     sp, sp, #160
        ldp     x29, x30, [sp], #16
        .cfi_remember_state
        .cfi_def_cfa sp, 0
        ret
        .cfi_restore_state

        .globl  apus_isolation_landing
        .hidden apus_isolation_landing
apus_isolation_landing:                 // (sp: what was saved)
        add     x29, sp, #160
        ldr     x9, [sp, #144]
        msr     fpcr, x9
        mov     w0, #1
        b       1b
        .cfi_endproc
        .size   apus_isolate, .-apus_isolate

        .globl  apus_isolation_leave
        .hidden apus_isolation_leave
        .type   apus_isolation_leave, %function
        .p2align 4
apus_isolation_leave:                   // (x0: isolation)
        .cfi_startproc
        ldr     x9, [x0]
        mov     sp, x9
        .cfi_undefined x30
        b       apus_isolation_landing
        .cfi_endproc
        .size   apus_isolation_leave, .-apus_isolation_leave
#endif

        // Outside the condition: an object without it, an empty one too, makes some linkers ask for executable stacks.
        .section .note.GNU-stack,"",%progbits
