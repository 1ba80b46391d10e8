/* Limits of control groups, as files of both versions tell them. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"
#include "base/memory_limit.h"

static char root[] = "/tmp/tpo-groups-XXXXXX";

static void put(const char *name, const char *text)
{
  char path[256], command[512];
  snprintf(path, sizeof path, "%s/%s", root, name);
  snprintf(command, sizeof command, "mkdir -p $(dirname %s)", path);
  assert_int_equal(system(command), 0);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

static size_t room(const char *groups)
{
  put("proc/self/cgroup", groups);
  put("proc/self/mountinfo", "30 20 0:27 / /mount rw - cgroup2 cgroup2 rw\n"
                             "31 20 0:28 / /mount/memory rw - cgroup cgroup rw,cpu,memory\n");
  return memory_limit_room(root);
}

static int begin(void **state)
{
  (void)state;
  strcpy(root + strlen(root) - 6, "XXXXXX");
  return mkdtemp(root) ? 0 : -1;
}

static int end(void **state)
{
  (void)state;
  char command[64];
  snprintf(command, sizeof command, "rm -r %s", root);
  return system(command);
}

static void a_limit_of_version_2_leaves_what_is_not_used_or_only_cached(void **state)
{
  (void)state;
  put("mount/job/memory.max", "1000000\n");
  put("mount/job/memory.current", "700000\n");
  assert_int_equal(room("0::/job\n"), 300000);
  put("mount/job/memory.stat", "anon 1\nfile 260000\ninactive_file 200000\nactive_file 50000\nshmem 7\n");
  assert_int_equal(room("0::/job\n"), 550000);
}

static void the_tightest_of_all_groups_above_counts(void **state)
{
  (void)state;
  put("mount/slurm/job/memory.max", "500000\n");
  put("mount/slurm/job/memory.current", "100000\n");
  put("mount/slurm/job/step/memory.max", "max\n");
  put("mount/slurm/job/step/memory.current", "90000\n");
  assert_int_equal(room("0::/slurm/job/step\n"), 400000);
  put("mount/slurm/memory.max", "350000\n");
  put("mount/slurm/memory.current", "200000\n");
  assert_int_equal(room("0::/slurm/job/step\n"), 150000);
}

static void version_1_has_a_tree_of_its_own(void **state)
{
  (void)state;
  const char *groups = "9:name=systemd:/\n4:cpu,memory:/job\n1:cpuset:/else\n0::/\n";
  put("mount/memory/job/memory.limit_in_bytes", "800000\n");
  put("mount/memory/job/memory.usage_in_bytes", "600000\n");
  put("mount/memory/job/memory.stat",
      "inactive_file 1\ntotal_inactive_file 100000\ntotal_active_file 5000\n");
  put("mount/memory/memory.limit_in_bytes", "9223372036854771712\n");
  put("mount/memory/memory.usage_in_bytes", "700000\n");
  assert_int_equal(room(groups), 305000);
}

static void nothing_is_left_beyond_the_limit(void **state)
{
  (void)state;
  put("mount/job/memory.max", "1000\n");
  put("mount/job/memory.current", "5000\n");
  assert_int_equal(room("0::/job\n"), 0);
}

static void without_a_limit_that_can_be_read_there_is_none(void **state)
{
  (void)state;
  assert_true(room("0::/job\n") == SIZE_MAX);
  put("mount/job/memory.max", "max\n");
  put("mount/job/memory.current", "5000\n");
  assert_true(room("0::/job\n") == SIZE_MAX);
  assert_true(room("no line of groups\n5:memory\n") == SIZE_MAX);
  assert_true(memory_limit_room("/nowhere") == SIZE_MAX);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_limit_of_version_2_leaves_what_is_not_used_or_only_cached, begin,
                                      end),
      cmocka_unit_test_setup_teardown(the_tightest_of_all_groups_above_counts, begin, end),
      cmocka_unit_test_setup_teardown(version_1_has_a_tree_of_its_own, begin, end),
      cmocka_unit_test_setup_teardown(nothing_is_left_beyond_the_limit, begin, end),
      cmocka_unit_test_setup_teardown(without_a_limit_that_can_be_read_there_is_none, begin, end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
