// Where a thread goes on after a trap: on the fatal stack, with the stack pointer at an `apus_fault_frame`. The tables describe it as a signal's frame, so that unwinders and gdb go from the report through
// to the function that failed, whose pc is exact and no return address.
#if defined(__x86_64__)

        // DWARF register `number` is saved `offset` bytes above this frame's stack pointer (breg7, SLEB128).
        .macro  saved number, offset
        .cfi_escape 0x10, \number, 3, 0x77, (\offset & 0x7f) | 0x80, \offset >> 7
        .endm

        .text
        .globl  apus_fault_entry
        .hidden apus_fault_entry
        .type   apus_fault_entry, @function
        .p2align 4
apus_fault_entry:
        .cfi_startproc
        .cfi_signal_frame
        // The caller's stack pointer is the saved rsp: def_cfa_expression(breg7 120, deref).
        .cfi_escape 0x0f, 4, 0x77, 0xf8, 0x00, 0x06
        saved   8, 0
        saved   9, 8
        saved   10, 16
        saved   11, 24
        saved   12, 32
        saved   13, 40
        saved   14, 48
        saved   15, 56
        saved   5, 64
        saved   4, 72
        saved   6, 80
        saved   3, 88
        saved   1, 96
        saved   0, 104
        saved   2, 112
        saved   16, 128
        callq   apus_fault_main
        ud2
        .cfi_endproc
        .size   apus_fault_entry, .-apus_fault_entry
#endif

        // Outside the condition: an object without it, an empty one too, makes some linkers ask for executable stacks.
        .section .note.GNU-stack,"",%progbits
