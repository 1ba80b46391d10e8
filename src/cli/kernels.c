/* Ranks on unlike machines: each takes the fastest kernels that it has, unless one set is asked for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/process.h"
#include "cli/same.h"

enum { GROUPS_MOST = 8 }; /* that are told */

/* Ranks of one host with the same kernels; texts are borrowed. */
struct group {
  const char *kernels, *host;
  struct tpo_buf ranks; /* "0, 1" */
};

/* The group that the rank belongs to, a new one behind n if there is none yet. */
static size_t find_group(const struct group *groups, size_t n, const char *kernels, const char *host)
{
  size_t i = 0;
  while (i < n && (strcmp(groups[i].kernels, kernels) != 0 || strcmp(groups[i].host, host) != 0)) i++;
  return i;
}

/* all: kernels and host of each rank in turn, each with a NUL. Returns how many groups there are. */
static size_t group_ranks(const char *all, size_t len, struct group *groups)
{
  size_t n = 0;
  int rank = 0;
  for (const char *at = all; at < all + len; rank++) {
    const char *kernels = at, *host = kernels + strlen(kernels) + 1;
    at = host + strlen(host) + 1;
    size_t i = find_group(groups, n, kernels, host);
    if (i == GROUPS_MOST) continue;
    if (i == n) groups[n++] = (struct group){kernels, host, {0}};
    tpo_buf_printf(&groups[i].ranks, groups[i].ranks.len ? ", %d" : "%d", rank);
  }
  return n;
}

/* The instruction set that all have; NULL where some compute with something else. */
static const char *find_common(const struct group *groups, size_t n)
{
  static const char *const rising[] = {"scalar", "avx2", "avx512", "avx512_bf16"};
  size_t lowest = 4;
  for (size_t i = 0; i < n; i++) {
    size_t level = 0;
    while (level < 4 && strcmp(groups[i].kernels, rising[level]) != 0) level++;
    if (level == 4) return NULL;
    if (level < lowest) lowest = level;
  }
  return lowest < 4 ? rising[lowest] : NULL;
}

static void tell(const char *all, size_t len)
{
  struct group groups[GROUPS_MOST] = {0};
  struct tpo_buf text = {0};
  size_t n = group_ranks(all, len, groups);
  const char *common = find_common(groups, n);
  for (size_t i = 0; i < n; i++) {
    const char *ranks = groups[i].ranks.data ? groups[i].ranks.data : "?";
    tpo_buf_printf(&text, "%s%s on rank%s %s (host %s)", i ? ", " : "", groups[i].kernels,
                   strchr(ranks, ',') ? "s" : "", ranks, groups[i].host);
  }
  if (common) tpo_buf_printf(&text, "; --isa %s makes them alike", common);
  if (!text.failed)
    tpo_log(
        TPO_LOG_WARN,
        "the ranks compute with different kernels, so results differ in the last bits with the rank that has "
        "the work: %s",
        text.data);
  for (size_t i = 0; i < n; i++) tpo_buf_free(&groups[i].ranks);
  tpo_buf_free(&text);
}

int warn_of_kernels(struct tpo_comm *comm, const char *kernels, struct tpo_error *err)
{
  char host[TPO_HOST_NAME];
  struct tpo_buf mine = {0};
  void *all = NULL;
  size_t len = 0;
  double hash = (double)(tpo_hash64_str(kernels) >> 12), range[] = {hash, -hash}; /* exact in 53 bits */
  if (tpo_comm_size(comm) == 1) return 0;
  int status = tpo_comm_allreduce_max_f64(comm, range, 2, err);
  if (status < 0 || range[0] == -range[1]) return status;
  tpo_host_name(host);
  tpo_buf_append(&mine, kernels, strlen(kernels) + 1);
  tpo_buf_append(&mine, host, strlen(host) + 1);
  status = tpo_comm_agree(comm, mine.failed ? tpo_fail(err, TPO_E_MEMORY, "out of memory") : 0, err);
  if (status == 0) status = tpo_comm_gather_bytes(comm, mine.data, mine.len, &all, &len, err);
  if (status == 0 && all) tell(all, len);
  free(all);
  tpo_buf_free(&mine);
  return status;
}
