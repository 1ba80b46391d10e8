/* Emulated CUDA: warp operations. Each has a function that does it for all lanes at once. */
#include "emulation.h"

namespace tpo_emulation {

void warp_barrier(unsigned mask, place at)
{
  warp_collective(
      mask, "__syncwarp",
      [](void *const *, unsigned lanes) {
        if (lanes == 0xffffffffu) races_warp_barrier(running()->warp);
      },
      nullptr, at);
}

namespace {
struct shuffled {
  uint64_t value, result;
  unsigned source;
};
} // namespace

uint64_t warp_shuffle(unsigned mask, uint64_t value, unsigned source, const char *name, place at)
{
  shuffled mine = {value, 0, source};
  warp_collective(
      mask, name,
      [](void *const *lanes, unsigned set) {
        for (unsigned rest = set; rest != 0; rest &= rest - 1) {
          shuffled *to = static_cast<shuffled *>(lanes[__builtin_ctz(rest)]);
          const unsigned source = to->source & 31;
          to->result = set >> source & 1 ? static_cast<const shuffled *>(lanes[source])->value
                                         : static_cast<uint64_t>(garbage) << 32 | garbage;
        }
      },
      &mine, at);
  return mine.result;
}

unsigned warp_ballot(unsigned mask, bool predicate, const char *name, place at)
{
  unsigned mine = predicate;
  warp_collective(
      mask, name,
      [](void *const *lanes, unsigned set) {
        unsigned ballot = 0;
        for (unsigned rest = set; rest != 0; rest &= rest - 1) {
          const int lane = __builtin_ctz(rest);
          ballot |= *static_cast<unsigned *>(lanes[lane]) << lane;
        }
        for (; set != 0; set &= set - 1) *static_cast<unsigned *>(lanes[__builtin_ctz(set)]) = ballot;
      },
      &mine, at);
  return mine;
}

static unsigned reduce_two(unsigned a, unsigned b, reduction kind)
{
  switch (kind) {
  case REDUCE_ADD: return a + b;
  case REDUCE_MIN_SIGNED: return static_cast<int>(a) < static_cast<int>(b) ? a : b;
  case REDUCE_MAX_SIGNED: return static_cast<int>(a) > static_cast<int>(b) ? a : b;
  case REDUCE_MIN: return a < b ? a : b;
  case REDUCE_MAX: return a > b ? a : b;
  case REDUCE_AND: return a & b;
  case REDUCE_OR: return a | b;
  case REDUCE_XOR: break;
  }
  return a ^ b;
}

namespace {
struct reduced {
  unsigned value;
  reduction kind;
};
} // namespace

unsigned warp_reduce(unsigned mask, unsigned value, reduction kind, const char *name, place at)
{
  reduced mine = {value, kind};
  warp_collective(
      mask, name,
      [](void *const *lanes, unsigned set) {
        unsigned rest = set;
        reduced total = *static_cast<reduced *>(lanes[__builtin_ctz(rest)]);
        while ((rest &= rest - 1) != 0) {
          total.value =
              reduce_two(total.value, static_cast<reduced *>(lanes[__builtin_ctz(rest)])->value, total.kind);
        }
        for (; set != 0; set &= set - 1) *static_cast<reduced *>(lanes[__builtin_ctz(set)]) = total;
      },
      &mine, at);
  return mine.value;
}

namespace {
struct matched {
  uint64_t value;
  unsigned result;
};
} // namespace

unsigned warp_match(unsigned mask, uint64_t value, place at)
{
  matched mine = {value, 0};
  warp_collective(
      mask, "__match_any_sync",
      [](void *const *lanes, unsigned set) {
        for (unsigned one = set; one != 0; one &= one - 1) {
          matched *to = static_cast<matched *>(lanes[__builtin_ctz(one)]);
          for (unsigned two = set; two != 0; two &= two - 1) {
            const int lane = __builtin_ctz(two);
            if (static_cast<matched *>(lanes[lane])->value == to->value) to->result |= 1u << lane;
          }
        }
      },
      &mine, at);
  return mine.result;
}

} // namespace tpo_emulation
