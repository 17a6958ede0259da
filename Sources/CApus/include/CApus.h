// What Swift cannot say: the entry point, the stack switch, the access to the current M, system calls that the Glibc
// module does not show, and the signal entry. No policy stands here: every decision is taken in ApusRuntime.
//
// Everything that depends on the architecture is behind this header; its implementations stand side by side in
// *_x86_64.S and *_aarch64.S.
#ifndef CAPUS_H
#define CAPUS_H

#include <stddef.h>
#include <stdint.h>

#include "CApusAttach.h"
#include "CApusBoot.h"
#include "CApusGlobals.h"
#include "CApusHeap.h"
#include "CApusIsolate.h"
#include "CApusLayout.h"
#include "CApusMachine.h"
#include "CApusNetwork.h"
#include "CApusNotify.h"
#include "CApusPreempt.h"
#include "CApusProfile.h"
#include "CApusReport.h"
#include "CApusSamples.h"
#include "CApusShelf.h"
#include "CApusSwitch.h"
#include "CApusTrace.h"
#include "CApusUnwind.h"

#endif
