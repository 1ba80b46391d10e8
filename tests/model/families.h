/* The tiny models of all families, and the machines that compute with them. */
#ifndef TPO_TESTS_MODEL_FAMILIES_H
#define TPO_TESTS_MODEL_FAMILIES_H

#include "family_folders.h"
#include "model/fixture.h"
#include "backend/cpu/cpu.h"

/* Levels of the CPU's instructions, between the reference and CUDA. */
static const char *const machines[] = {"reference", "scalar", "avx2", "avx512", "avx512_bf16", "cuda"};
enum { MACHINES = (int)(sizeof machines / sizeof *machines) - (LAST_BACKEND == CPU) };

/* NULL where this computer hasn't got the level. */
static inline struct tpo_backend *open_machine(int machine)
{
  if (machine == 0 || machine == 5) return open_backend(machine == 0 ? REFERENCE : CUDA);
  setenv("TPO_CPU_ISA", machines[machine], 1);
  struct tpo_backend *be = open_backend(CPU);
  unsetenv("TPO_CPU_ISA");
  if ((int)tpo_cpu(be)->isa == machine - 1) return be;
  tpo_backend_close(be);
  return NULL;
}

/* Runs `check` for each family on each machine. */
static inline void on_all_machines(void (*check)(struct tpo_backend *be, const char *folder))
{
  for (int machine = 0; machine < MACHINES; machine++) {
    struct tpo_backend *be = open_machine(machine);
    if (!be) continue;
    for (int family = 0; family < FAMILIES; family++) {
      print_message("%s on %s\n", families[family], machines[machine]);
      check(be, family_folder(family));
    }
    tpo_backend_close(be);
  }
}

#endif
