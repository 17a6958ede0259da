// Where a thread goes on after a trap: on the fatal stack, with the stack pointer at an `apus_fault_frame`. The tables describe it as a signal's frame, so that unwinders and gdb go from the report through
// to the function that failed, whose pc is exact and no return address.
#if defined(__aarch64__)

        // DWARF register `number` is saved `offset` bytes above this frame's stack pointer (breg31, SLEB128).
        .macro  saved number, offset
        .cfi_escape 0x10, \number, 3, 0x8f, (\offset & 0x7f) | 0x80, \offset >> 7
        .endm

        .text
        .globl  apus_fault_entry
        .hidden apus_fault_entry
        .type   apus_fault_entry, %function
        .p2align 4
apus_fault_entry:
        .cfi_startproc
        .cfi_signal_frame
        // Column 96 is the return address of signal frames in GCC's unwinder: x30 must stay what it was at the fault.
        .cfi_return_column 96
        // The caller's stack pointer is the saved one: def_cfa_expression(breg31 248, deref).
        .cfi_escape 0x0f, 4, 0x8f, 0xf8, 0x01, 0x06
        saved   19, 152
        saved   20, 160
        saved   21, 168
        saved   22, 176
        saved   23, 184
        saved   24, 192
        saved   25, 200
        saved   26, 208
        saved   27, 216
        saved   28, 224
        saved   29, 232
        saved   30, 240
        saved   96, 256
        bl      apus_fault_main
        brk     #1
        .cfi_endproc
        .size   apus_fault_entry, .-apus_fault_entry
#endif

        // Outside the condition: an object without it, an empty one too, makes some linkers ask for executable stacks.
        .section .note.GNU-stack,"",%progbits
