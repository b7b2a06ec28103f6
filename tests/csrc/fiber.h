// Fibers, as which the threads of an emulated GPU run: each has a stack, and passes control on where it waits.
//
// swapcontext asks the system for the signal mask at each switch, and AddressSanitizer clears the shadow of a whole
// stack after it. With hundreds of threads that meet at each instruction of a warp, that is most of an emulation's time,
// so that on x86-64 a switch only saves the registers that a function must preserve.
#pragma once
#include <cstdint>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes)
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes)
#endif

#ifndef __x86_64__
#include <ucontext.h>
#endif

namespace ganzoo::cuda::emulator {

constexpr int kStack = 32 * 1024;

#ifdef __x86_64__
using Context = void*;  // the top of the stack that a waiting fiber left

// Leaves `from` and continues at `to`; returns when something continues at `from`.
[[gnu::naked, gnu::noinline]] inline void switch_context(Context& /* from: rdi */, Context& /* to: rsi */) {
  asm("push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15\n\t"
      "mov %rsp, (%rdi); mov (%rsi), %rsp\n\t"
      "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp; ret");
}
#else
using Context = ucontext_t;

inline void switch_context(Context& from, Context& to) { swapcontext(&from, &to); }
#endif

// A stack and the point at which its function continues.
class Fiber {
 public:
  // The next switch to `context` begins `enter`, which must not return; what ran on this stack is forgotten.
  void start(void (*enter)()) {
    ASAN_UNPOISON_MEMORY_REGION(stack_.data(), stack_.size());
#ifdef __x86_64__
    // six registers and the function to return to, at which the stack must be aligned as after a call
    auto top = (reinterpret_cast<uintptr_t>(stack_.data() + stack_.size()) & ~uintptr_t{15}) - 16;
    reinterpret_cast<void**>(top)[0] = reinterpret_cast<void*>(enter);
    context = reinterpret_cast<void*>(top - 6 * sizeof(void*));
#else
    getcontext(&context);
    context.uc_stack = {stack_.data(), 0, stack_.size()};
    context.uc_link = nullptr;
    makecontext(&context, enter, 0);
#endif
  }

  Context context;

 private:
  std::vector<char> stack_ = std::vector<char>(kStack);
};

}  // namespace ganzoo::cuda::emulator
