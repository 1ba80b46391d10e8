/* Cores from the affinity mask, cgroups' quotas and Slurm, over folders that stand for /proc and /sys. */
#include "unit.h"
#include <math.h>
#include <sys/stat.h>
#include "base/cores.h"
#include "base/file.h"

static const char *root;

/* Writes root/path, with the folders that it needs. */
static void put(const char *path, const char *text)
{
  char full[4096], folder[4096];
  struct tpo_error err = {0};
  assert_int_equal(tpo_path_join(full, sizeof full, root, path, &err), 0);
  snprintf(folder, sizeof folder, "%s", full);
  *strrchr(folder, '/') = '\0';
  assert_int_equal(tpo_make_dirs(folder, &err), 0);
  FILE *f = fopen(full, "w");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
}

/* A fresh folder below the test's. */
static void begin(void **state)
{
  static char path[4096];
  static int number;
  snprintf(path, sizeof path, "%s/%d", (const char *)*state, number++);
  root = path;
}

#define MOUNT_2 "31 23 0:41 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
#define MOUNT_1 "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:4 - cgroup cgroup rw,cpu,cpuacct\n"
#define OTHERS                                                                                               \
  "22 28 0:20 / /sys rw - sysfs sysfs rw\n30 29 0:25 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"

static void expect_quota(double expected, const char *where)
{
  double cores = 0;
  char path[4096] = "";
  bool found = cores_quota(root, &cores, path);
  if (found != isfinite(expected) || (found && fabs(cores - expected) > 1e-12))
    fail_msg("%g cores by %s, expected %g by %s", cores, path, expected, where);
  if (found) assert_string_equal(path, where);
}

static void the_least_quota_of_a_group_and_those_above_it_holds(void **state)
{
  begin(state);
  put("proc/self/mountinfo", OTHERS MOUNT_2);
  put("proc/self/cgroup", "0::/user.slice/job/step\n");
  expect_quota(INFINITY, "");
  put("sys/fs/cgroup/user.slice/job/step/cpu.max", "max 100000\n");
  expect_quota(INFINITY, "");
  put("sys/fs/cgroup/user.slice/job/cpu.max", "350000 100000\n");
  expect_quota(3.5, "/sys/fs/cgroup/user.slice/job/cpu.max");
  put("sys/fs/cgroup/user.slice/cpu.max", "20000 10000\n");
  expect_quota(2, "/sys/fs/cgroup/user.slice/cpu.max");
  put("sys/fs/cgroup/user.slice/job/step/cpu.max", "300000 100000\n");
  expect_quota(2, "/sys/fs/cgroup/user.slice/cpu.max");
  put("sys/fs/cgroup/user.slice/job/step/cpu.max", "50000 100000\n");
  expect_quota(0.5, "/sys/fs/cgroup/user.slice/job/step/cpu.max");
  put("sys/fs/cgroup/user.slice/other/cpu.max", "1000 100000\n"); /* not above us */
  expect_quota(0.5, "/sys/fs/cgroup/user.slice/job/step/cpu.max");
}

static void version_1_is_read_too(void **state)
{
  begin(state);
  put("proc/self/mountinfo", OTHERS MOUNT_1);
  put("proc/self/cgroup", "7:cpuset:/\n4:cpuacct,cpu:/docker/abc\n0::/\n");
  put("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "-1\n");
  put("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n");
  expect_quota(INFINITY, "");
  put("sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "150000\n");
  expect_quota(INFINITY, ""); /* its period is missing */
  put("sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "50000\n");
  expect_quota(3, "/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us");
}

static void a_container_sees_its_group_as_the_mount_itself(void **state)
{
  begin(state);
  put("proc/self/mountinfo", "32 31 0:29 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n");
  put("proc/self/cgroup", "1:cpu:/docker/abc/inner\n");
  put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "400000\n");
  put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  expect_quota(4, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  put("sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us", "100000\n");
  put("sys/fs/cgroup/cpu/inner/cpu.cfs_period_us", "100000\n");
  expect_quota(1, "/sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us");
  static const char *const unseen[] = {"1:cpu:/docker/abcd/inner\n", "1:cpu:/../../inner\n",
                                       "1:cpu:/docker/abc\n", "1:cpu:/docker/abc/../inner\n", "1:cpu:/\n"};
  for (size_t i = 0; i < sizeof unseen / sizeof *unseen; i++) {
    put("proc/self/cgroup", unseen[i]);
    expect_quota(4, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  }
}

static void what_the_kernel_does_not_write_takes_nothing(void **state)
{
  static const char *const texts[] = {"",
                                      "\n",
                                      "100000",
                                      "0 100000",
                                      "-5 100000",
                                      "5 0",
                                      "5 -1",
                                      "1e5 100000",
                                      "100000 100000 7",
                                      "x y",
                                      "5 5 max",
                                      "100000\n5",
                                      "99999999999999999999 1",
                                      "100000, 100000",
                                      "5\t5"};
  begin(state);
  put("proc/self/mountinfo", MOUNT_2 MOUNT_1);
  put("proc/self/cgroup", "0::/a\n3:cpu:/b\n");
  put("sys/fs/cgroup/cpu,cpuacct/b/cpu.cfs_period_us", "100000\n");
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    put("sys/fs/cgroup/a/cpu.max", texts[i]);
    if (strcmp(texts[i], "100000") != 0) put("sys/fs/cgroup/cpu,cpuacct/b/cpu.cfs_quota_us", texts[i]);
    expect_quota(INFINITY, texts[i]);
  }
  static const char *const groups[] = {"", "0::", "0:", "::", "0::a\n", ":::::\n", "0::\n/a\n", "3:cpu\n"};
  put("sys/fs/cgroup/a/cpu.max", "5 5\n");
  for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
    put("proc/self/cgroup", groups[i]);
    expect_quota(INFINITY, groups[i]);
  }
  static const char *const mounts[] = {"",
                                       " - cgroup2 cgroup2 rw\n",
                                       "31 23 0:41 / - cgroup2 cgroup2 rw\n",
                                       "31 23 0:41 / /sys/fs/cgroup rw - cgroup2\n",
                                       "- - - - - - - -\n",
                                       "31 23 0:41 / /nowhere rw - cgroup2 cgroup2 rw\n"};
  put("proc/self/cgroup", "0::/a\n");
  for (size_t i = 0; i < sizeof mounts / sizeof *mounts; i++) {
    put("proc/self/mountinfo", mounts[i]);
    expect_quota(INFINITY, mounts[i]);
  }
}

static void long_and_binary_files_are_no_trouble(void **state)
{
  begin(state);
  char *deep = calloc(1, 300001);
  for (int i = 0; i < 300000; i++) deep[i] = i % 2 ? 'd' : '/';
  struct tpo_buf text = {0};
  tpo_buf_printf(&text, "0::%s\n", deep);
  put("proc/self/mountinfo", MOUNT_2);
  put("proc/self/cgroup", text.data);
  put("sys/fs/cgroup/cpu.max", "5 5\n");
  expect_quota(1, "/sys/fs/cgroup/cpu.max");
  tpo_buf_clear(&text);
  tpo_buf_printf(&text, "31 23 0:41 %s %s rw - cgroup2 cgroup2 rw\n", deep, deep);
  put("proc/self/mountinfo", text.data);
  expect_quota(INFINITY, "");
  memset(deep, 'x', 300000);
  put("sys/fs/cgroup/cpu.max", deep);
  put("proc/self/mountinfo", MOUNT_2);
  expect_quota(INFINITY, "");
  char full[4096];
  struct tpo_error err = {0};
  assert_int_equal(tpo_path_join(full, sizeof full, root, "sys/fs/cgroup/cpu.max", &err), 0);
  FILE *f = fopen(full, "w");
  fwrite("5 \0005\n", 1, 5, f);
  fclose(f);
  expect_quota(INFINITY, "");
  remove(full);
  assert_int_equal(mkfifo(full, 0600), 0); /* would wait for ever */
  expect_quota(INFINITY, "");
  remove(full);
  assert_int_equal(mkdir(full, 0700), 0);
  expect_quota(INFINITY, "");
  tpo_buf_free(&text);
  free(deep);
}

static void the_least_of_mask_quota_and_slurm_is_taken(void **state)
{
  static const struct {
    const char *quota, *slurm;
    int affinity, ranks, n;
    const char *why;
  } cases[] = {
      {"max 100000", NULL, 16, 1, 16, "16 cores of the affinity mask"},
      {"max 100000", NULL, 16, 3, 5, "16 cores of the affinity mask, shared by 3 ranks"},
      {"350000 100000", NULL, 16, 1, 4, "3.5 cores' time by /sys/fs/cgroup/job/cpu.max"},
      {"350000 100000", NULL, 16, 2, 2,
       "3.5 cores' time by /sys/fs/cgroup/job/cpu.max, shared by the host's 2 ranks"},
      {"350000 100000", NULL, 3, 1, 3, "3 cores of the affinity mask"},
      {"20000 100000", NULL, 16, 1, 1, "0.2 cores' time by /sys/fs/cgroup/job/cpu.max"},
      {"200000 100000", NULL, 16, 8, 1,
       "2 cores' time by /sys/fs/cgroup/job/cpu.max, shared by the host's 8 ranks"},
      {"max 100000", NULL, 2, 4, 1, "2 cores of the affinity mask, shared by 4 ranks"},
      {"max 100000", "4", 16, 2, 4, "SLURM_CPUS_PER_TASK=4"},
      {"max 100000", "12", 16, 2, 8, "16 cores of the affinity mask, shared by 2 ranks"},
      {"300000 100000", "4", 16, 1, 3, "3 cores' time by /sys/fs/cgroup/job/cpu.max"},
      {"max 100000", "0", 6, 1, 6, "6 cores of the affinity mask"},
      {"max 100000", "-2", 6, 1, 6, "6 cores of the affinity mask"},
      {"max 100000", "", 6, 1, 6, "6 cores of the affinity mask"},
      {"max 100000", "2(x3)", 6, 1, 6, "6 cores of the affinity mask"},
      {"max 100000", "99999999999999999999", 6, 1, 6, "6 cores of the affinity mask"},
  };
  begin(state);
  put("proc/self/mountinfo", MOUNT_2);
  put("proc/self/cgroup", "0::/job\n");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct cores cores;
    put("sys/fs/cgroup/job/cpu.max", cases[i].quota);
    cores_of_rank(&cores, root, cases[i].affinity, cases[i].ranks, cases[i].ranks, cases[i].slurm);
    if (cores.n != cases[i].n) fail_msg("case %zu: %d threads (%s)", i, cores.n, cores.why);
    assert_string_equal(cores.why, cases[i].why);
  }
  struct cores cores;
  put("sys/fs/cgroup/job/cpu.max", "1200000 100000");
  cores_of_rank(&cores, root, 8, 1, 2, NULL); /* bound to cores of its own; the quota is the host's */
  assert_int_equal(cores.n, 6);
  cores_of_rank(&cores, root, 4, 1, 2, NULL);
  assert_string_equal(cores.why, "4 cores of the affinity mask");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_least_quota_of_a_group_and_those_above_it_holds),
      cmocka_unit_test(version_1_is_read_too),
      cmocka_unit_test(a_container_sees_its_group_as_the_mount_itself),
      cmocka_unit_test(what_the_kernel_does_not_write_takes_nothing),
      cmocka_unit_test(long_and_binary_files_are_no_trouble),
      cmocka_unit_test(the_least_of_mask_quota_and_slurm_is_taken),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
