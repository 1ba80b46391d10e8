/* Emulated CUDA: stacks to switch between. */
#ifndef TPO_EMULATION_CONTEXT_H
#define TPO_EMULATION_CONTEXT_H

#include <stddef.h>

#include <tpo_emulation_compiler.h>

#if !defined(__x86_64__) || defined(TPO_EMULATION_UCONTEXT)
#define TPO_EMULATION_PORTABLE_CONTEXT
#include <ucontext.h>
#endif

namespace tpo_emulation {

struct context {
#ifdef TPO_EMULATION_PORTABLE_CONTEXT
  ucontext_t registers;
#else
  void *stack_pointer;
#endif
  void *stack; /* lowest address */
  size_t bytes;
  void *sanitizer; /* AddressSanitizer's own state of this stack */
};

/* The stack starts in `entry` when first switched to;
 * entry must call context_entered first and never return. */
void context_make(context *c, void *stack, size_t bytes, void (*entry)());
void context_entered();
/* The calling host thread's own stack. */
void context_host(context *c);
#if defined(TPO_EMULATION_PORTABLE_CONTEXT) || defined(__SANITIZE_ADDRESS__)
void context_switch(context *from, context *to);
#else
extern "C" void tpo_emulation_switch(void **from_stack_pointer, void *to_stack_pointer);
static inline void context_switch(context *from, context *to)
{
  tpo_emulation_switch(&from->stack_pointer, to->stack_pointer);
}
#endif
/* For the last time: `from` is not coming back. */
[[noreturn]] void context_leave(context *to);

} // namespace tpo_emulation

#endif
