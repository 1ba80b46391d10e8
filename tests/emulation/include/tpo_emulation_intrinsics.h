/* Emulated CUDA: barriers, warp operations, atomics and cached accesses. A default argument tells each call's
 * place for messages. */
#ifndef TPO_EMULATION_INTRINSICS_H
#define TPO_EMULATION_INTRINSICS_H

#include <cuda_bf16.h>

static inline void __syncthreads(TPO_EMULATION_HERE)
{
  ::tpo_emulation::block_barrier(at);
}
static inline int __syncthreads_and(int predicate, TPO_EMULATION_HERE)
{
  return ::tpo_emulation::block_vote(predicate, 0, at);
}
static inline int __syncthreads_or(int predicate, TPO_EMULATION_HERE)
{
  return ::tpo_emulation::block_vote(predicate, 1, at);
}
static inline int __syncthreads_count(int predicate, TPO_EMULATION_HERE)
{
  return ::tpo_emulation::block_vote(predicate, 2, at);
}
static inline void __syncwarp(unsigned mask = 0xffffffffu, TPO_EMULATION_HERE)
{
  ::tpo_emulation::warp_barrier(mask, at);
}
static inline void __threadfence_block() {}
static inline void __threadfence() {}
static inline void __threadfence_system() {}
static inline void __nanosleep(unsigned) {}
[[noreturn]] static inline void __trap(TPO_EMULATION_HERE)
{
  ::tpo_emulation::trap("__trap", at);
}

namespace tpo_emulation {
template <class T> T shuffle(unsigned mask, T value, unsigned source, const char *name, place at)
{
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable<T>::value, "a shuffle moves up to 8 bytes");
  uint64_t bits = 0;
  __builtin_memcpy(&bits, &value, sizeof value);
  bits = warp_shuffle(mask, bits, source, name, at);
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}
} // namespace tpo_emulation

template <class T> T __shfl_sync(unsigned mask, T value, int source, int width = 32, TPO_EMULATION_HERE)
{
  const unsigned lane = ::tpo_emulation::current->lane, inside = static_cast<unsigned>(width) - 1;
  return ::tpo_emulation::shuffle(mask, value, (lane & ~inside) | (static_cast<unsigned>(source) & inside),
                                  "__shfl_sync", at);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, TPO_EMULATION_HERE)
{
  const unsigned lane = ::tpo_emulation::current->lane, inside = static_cast<unsigned>(width) - 1;
  const unsigned source = (lane & inside) >= delta ? lane - delta : lane;
  return ::tpo_emulation::shuffle(mask, value, source, "__shfl_up_sync", at);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, TPO_EMULATION_HERE)
{
  const unsigned lane = ::tpo_emulation::current->lane, inside = static_cast<unsigned>(width) - 1;
  const unsigned source = (lane & inside) + delta <= inside ? lane + delta : lane;
  return ::tpo_emulation::shuffle(mask, value, source, "__shfl_down_sync", at);
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, TPO_EMULATION_HERE)
{
  const unsigned lane = ::tpo_emulation::current->lane, inside = static_cast<unsigned>(width) - 1;
  unsigned source = lane ^ static_cast<unsigned>(lanes);
  if (source > (lane | inside)) source = lane;
  return ::tpo_emulation::shuffle(mask, value, source, "__shfl_xor_sync", at);
}

static inline unsigned __ballot_sync(unsigned mask, int predicate, TPO_EMULATION_HERE)
{
  return ::tpo_emulation::warp_ballot(mask, predicate != 0, "__ballot_sync", at);
}
static inline int __any_sync(unsigned mask, int predicate, TPO_EMULATION_HERE)
{
  return ::tpo_emulation::warp_ballot(mask, predicate != 0, "__any_sync", at) != 0;
}
static inline int __all_sync(unsigned mask, int predicate, TPO_EMULATION_HERE)
{
  return ::tpo_emulation::warp_ballot(mask, predicate != 0, "__all_sync", at) == mask;
}
template <class T> unsigned __match_any_sync(unsigned mask, T value, TPO_EMULATION_HERE)
{
  uint64_t bits = 0;
  __builtin_memcpy(&bits, &value, sizeof value);
  return ::tpo_emulation::warp_match(mask, bits, at);
}
static inline unsigned __activemask()
{
  return ::tpo_emulation::active_lanes();
}

#define TPO_REDUCE(name, type, kind)                                                                         \
  static inline type name(unsigned mask, type value, TPO_EMULATION_HERE)                                     \
  {                                                                                                          \
    return static_cast<type>(                                                                                \
        ::tpo_emulation::warp_reduce(mask, static_cast<unsigned>(value), ::tpo_emulation::kind, #name, at)); \
  }
TPO_REDUCE(__reduce_add_sync, unsigned, REDUCE_ADD)
TPO_REDUCE(__reduce_add_sync, int, REDUCE_ADD)
TPO_REDUCE(__reduce_min_sync, unsigned, REDUCE_MIN)
TPO_REDUCE(__reduce_min_sync, int, REDUCE_MIN_SIGNED)
TPO_REDUCE(__reduce_max_sync, unsigned, REDUCE_MAX)
TPO_REDUCE(__reduce_max_sync, int, REDUCE_MAX_SIGNED)
TPO_REDUCE(__reduce_and_sync, unsigned, REDUCE_AND)
TPO_REDUCE(__reduce_or_sync, unsigned, REDUCE_OR)
TPO_REDUCE(__reduce_xor_sync, unsigned, REDUCE_XOR)
#undef TPO_REDUCE

/* Integer atomics. Fibers never interrupt each other inside one; the function is not instrumented, as it
 * would pass for a plain access. */
#define TPO_NOT_INSTRUMENTED __attribute__((no_sanitize("thread"), noinline, unused))
#define TPO_ATOMIC(name, type, result)                                                                       \
  TPO_NOT_INSTRUMENTED static type name(type *p, type value)                                                 \
  {                                                                                                          \
    ::tpo_emulation::note_access(p, sizeof *p, ::tpo_emulation::ACCESS_ATOMIC, __builtin_return_address(0)); \
    const type old = *p;                                                                                     \
    *p = static_cast<type>(result);                                                                          \
    return old;                                                                                              \
  }
#define TPO_ATOMICS(type)                                                                                    \
  TPO_ATOMIC(atomicAdd, type, static_cast<unsigned long long>(old) + static_cast<unsigned long long>(value)) \
  TPO_ATOMIC(atomicMin, type, value < old ? value : old)                                                     \
  TPO_ATOMIC(atomicMax, type, value > old ? value : old)                                                     \
  TPO_ATOMIC(atomicAnd, type, old &value)                                                                    \
  TPO_ATOMIC(atomicOr, type, old | value)                                                                    \
  TPO_ATOMIC(atomicXor, type, old ^ value)                                                                   \
  TPO_ATOMIC(atomicExch, type, value)                                                                        \
  TPO_NOT_INSTRUMENTED static type atomicCAS(type *p, type expected, type value)                             \
  {                                                                                                          \
    ::tpo_emulation::note_access(p, sizeof *p, ::tpo_emulation::ACCESS_ATOMIC, __builtin_return_address(0)); \
    const type old = *p;                                                                                     \
    if (old == expected) *p = value;                                                                         \
    return old;                                                                                              \
  }
TPO_ATOMICS(int)
TPO_ATOMICS(unsigned int)
TPO_ATOMICS(unsigned long long)
TPO_ATOMIC(atomicSub, int, static_cast<unsigned>(old) - static_cast<unsigned>(value))
TPO_ATOMIC(atomicSub, unsigned int, old - value)
TPO_ATOMIC(atomicInc, unsigned int, old >= value ? 0u : old + 1u)
TPO_ATOMIC(atomicDec, unsigned int, old == 0 || old > value ? value : old - 1u)
TPO_ATOMIC(atomicExch, float, value)
#undef TPO_ATOMICS
#undef TPO_ATOMIC
#undef TPO_NOT_INSTRUMENTED

template <class T> T __ldg(const T *p)
{
  return *p;
}
template <class T> T __ldca(const T *p)
{
  return *p;
}
template <class T> T __ldcg(const T *p)
{
  return *p;
}
template <class T> T __ldcs(const T *p)
{
  return *p;
}
template <class T> T __ldlu(const T *p)
{
  return *p;
}
template <class T> T __ldcv(const T *p)
{
  return *p;
}
template <class T> void __stwb(T *p, T value)
{
  *p = value;
}
template <class T> void __stcg(T *p, T value)
{
  *p = value;
}
template <class T> void __stcs(T *p, T value)
{
  *p = value;
}
template <class T> void __stwt(T *p, T value)
{
  *p = value;
}

#endif
