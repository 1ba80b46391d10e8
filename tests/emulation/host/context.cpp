/* Stacks, and switching between them, in assembly or, elsewhere, by ucontext. */
#include "context.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#ifndef TPO_EMULATION_PORTABLE_CONTEXT
/* Saves what a C function must keep (System V, x86-64), changes stacks, restores. The floating-point control
 * words are the same on all stacks. */
extern "C" void tpo_emulation_switch(void **from_stack_pointer, void *to_stack_pointer);
asm(R"(
.text
.p2align 4
.hidden tpo_emulation_switch
.globl tpo_emulation_switch
.type tpo_emulation_switch, @function
tpo_emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size tpo_emulation_switch, . - tpo_emulation_switch
)");
#endif

namespace tpo_emulation {

static void switch_registers(context *from, context *to)
{
#ifdef TPO_EMULATION_PORTABLE_CONTEXT
  swapcontext(&from->registers, &to->registers);
#else
  tpo_emulation_switch(&from->stack_pointer, to->stack_pointer);
#endif
}

void context_make(context *c, void *stack, size_t bytes, void (*entry)())
{
  c->stack = stack;
  c->bytes = bytes;
  c->sanitizer = nullptr;
#ifdef TPO_EMULATION_PORTABLE_CONTEXT
  getcontext(&c->registers);
  c->registers.uc_stack.ss_sp = stack;
  c->registers.uc_stack.ss_size = bytes;
  c->registers.uc_link = nullptr;
  makecontext(&c->registers, entry, 0);
#else
  /* As if `entry` had been called: its return address (none) on a 16-byte boundary less 8, below it the
   * address that the first switch returns to, and six saved registers. */
  uintptr_t top = (reinterpret_cast<uintptr_t>(stack) + bytes) & ~static_cast<uintptr_t>(63);
  void **p = reinterpret_cast<void **>(top);
  *--p = nullptr;
  *--p = reinterpret_cast<void *>(entry);
  for (int i = 0; i < 6; i++) *--p = nullptr;
  c->stack_pointer = p;
#endif
}

#ifdef __SANITIZE_ADDRESS__
void context_entered()
{
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
}

void context_host(context *c)
{
  thread_local context known;
  if (known.stack == nullptr) {
    pthread_attr_t attributes;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &known.stack, &known.bytes);
    pthread_attr_destroy(&attributes);
  }
  *c = known;
}

void context_switch(context *from, context *to)
{
  __sanitizer_start_switch_fiber(&from->sanitizer, to->stack, to->bytes);
  switch_registers(from, to);
  __sanitizer_finish_switch_fiber(from->sanitizer, nullptr, nullptr);
}

void context_leave(context *to)
{
  context nowhere;
  __sanitizer_start_switch_fiber(nullptr, to->stack, to->bytes);
  switch_registers(&nowhere, to);
  abort();
}
#else
void context_entered() {}
void context_host(context *) {}

#ifdef TPO_EMULATION_PORTABLE_CONTEXT
void context_switch(context *from, context *to)
{
  switch_registers(from, to);
}
#endif

void context_leave(context *to)
{
  context nowhere;
  switch_registers(&nowhere, to);
  abort();
}
#endif

} // namespace tpo_emulation
