/* Emulated CUDA: the tensor-core and copy instructions of ptx.cuh. */
#include "emulation.h"

#include <cuda_bf16.h>

namespace tpo_emulation {

namespace {
struct fragments {
  float *d;
  const uint32_t *a, *b;
};

float low(uint32_t pair)
{
  return __uint_as_float(pair << 16);
}

float high(uint32_t pair)
{
  return __uint_as_float(pair & 0xffff0000u);
}

/* The sums run over k in order, in fp32; a tensor core's have another order and rounding. */
void mma(void *const *lanes, unsigned)
{
  float a[16][16], b[16][8], d[16][8];
  for (int lane = 0; lane < 32; lane++) {
    const fragments *f = static_cast<const fragments *>(lanes[lane]);
    const int group = lane / 4, column = lane % 4 * 2;
    for (int i = 0; i < 4; i++) {
      const int row = group + i % 2 * 8, k = column + i / 2 * 8;
      a[row][k] = low(f->a[i]);
      a[row][k + 1] = high(f->a[i]);
      d[row - i % 2 * 8 + i / 2 * 8][column + i % 2] = f->d[i];
    }
    for (int i = 0; i < 2; i++) {
      b[column + i * 8][group] = low(f->b[i]);
      b[column + i * 8 + 1][group] = high(f->b[i]);
    }
  }
  for (int row = 0; row < 16; row++) {
    for (int k = 0; k < 16; k++) {
      for (int column = 0; column < 8; column++) d[row][column] += a[row][k] * b[k][column];
    }
  }
  for (int lane = 0; lane < 32; lane++) {
    const fragments *f = static_cast<const fragments *>(lanes[lane]);
    for (int i = 0; i < 4; i++) f->d[i] = d[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
  }
}

struct matrix_rows {
  uint32_t *r;
  const void *row;
  bool transposed;
};

void distribute(void *const *lanes, unsigned)
{
  uint16_t at[4][8][8];
  for (int lane = 0; lane < 32; lane++) {
    __builtin_memcpy(at[lane / 8][lane % 8], static_cast<const matrix_rows *>(lanes[lane])->row, 16);
  }
  for (int lane = 0; lane < 32; lane++) {
    const matrix_rows *mine = static_cast<const matrix_rows *>(lanes[lane]);
    const int group = lane / 4, element = lane % 4 * 2;
    for (int i = 0; i < 4; i++) {
      const uint32_t first = mine->transposed ? at[i][element][group] : at[i][group][element];
      const uint32_t second = mine->transposed ? at[i][element + 1][group] : at[i][group][element + 1];
      mine->r[i] = second << 16 | first;
    }
  }
}

/* `from`: the instruction that called, for messages. */
void check_shared(const void *p, const char *instruction, const void *from)
{
  if (reinterpret_cast<uintptr_t>(p) % 16 != 0) {
    kernel_fail(cudaErrorMisalignedAddress, {}, "%s: the shared address is not 16-byte aligned, at %s",
                instruction, source_of(from));
  }
  const ptrdiff_t offset = shared_offset(p);
  const shared_region *region = offset < 0 ? nullptr : shared_find(static_cast<size_t>(offset));
  if (region == nullptr) {
    kernel_fail(cudaErrorInvalidAddressSpace, {}, "%s: not a shared address, at %s", instruction,
                source_of(from));
  }
  if (static_cast<size_t>(offset) + 16 > region->offset + region->bytes) {
    kernel_fail(cudaErrorIllegalAddress, {},
                "%s: 16 bytes at offset %zu of shared %s, which has %zu bytes, at %s", instruction,
                static_cast<size_t>(offset) - region->offset, region->name, region->bytes, source_of(from));
  }
}
} // namespace

void mma_bf16(float *d, const uint32_t *a, const uint32_t *b, place at)
{
  fragments mine = {d, a, b};
  warp_collective(0xffffffffu, "mma_m16n8k16", mma, &mine, at);
}

void load_matrices(uint32_t *r, const void *row, bool transposed, place at)
{
  const char *name = transposed ? "ldmatrix_x4_trans" : "ldmatrix_x4";
  const void *from = __builtin_return_address(0);
  check_shared(row, name, from);
  note_access(row, 16, ACCESS_READ, from);
  matrix_rows mine = {r, row, transposed};
  warp_collective(0xffffffffu, name, distribute, &mine, at);
}

/* The copy is done when its thread waits for it. Until then the bytes are garbage, as late as hardware may
 * be. */
void copy_async(void *shared, const void *global, bool valid)
{
  const void *from = __builtin_return_address(0);
  check_shared(shared, "cp_async_16", from);
  if (valid && reinterpret_cast<uintptr_t>(global) % 16 != 0) {
    kernel_fail(cudaErrorMisalignedAddress, {},
                "cp_async_16: the global address is not 16-byte aligned, at %s", source_of(from));
  }
  races_async_start(shared, 16, from);
  fill_garbage(shared, 16);
  thread *t = running();
  t->copies.push_back({shared, global, valid, t->group, from});
}

void copy_async_commit()
{
  running()->group++;
}

static void finish_groups(thread *t, unsigned before)
{
  size_t kept = 0;
  for (const async_copy &copy : t->copies) {
    if (static_cast<int>(copy.group - before) >= 0) {
      t->copies[kept++] = copy;
      continue;
    }
    races_async_end(copy.dst, 16, copy.from);
    if (copy.valid) {
      __builtin_memcpy(copy.dst, copy.src, 16);
    } else {
      __builtin_memset(copy.dst, 0, 16);
    }
  }
  t->copies.resize(kept);
}

void copy_async_wait(int groups_left)
{
  thread *t = running();
  finish_groups(t, t->group - static_cast<unsigned>(groups_left));
}

void finish_copies(thread *t)
{
  finish_groups(t, t->group + 1);
}

/* With another count than the block's threads a GPU goes on too early, or never. */
void counted_barrier(unsigned threads, place at)
{
  const unsigned here = block.size.x * block.size.y * block.size.z;
  if (threads != here)
    kernel_fail(cudaErrorLaunchFailure, at, "a barrier for %u threads in a block of %u", threads, here);
  block_barrier(at);
}

} // namespace tpo_emulation
