/* Commands that read or write files without computing: inspect, export, report, config. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/cli.h"
#include "tpo/judge.h"
#include "tpo/model.h"
#include "tpo/report.h"
#include "tpo/store.h"

static const struct option inspect_options[] = {
    {"--limit", 0, "N", NULL, "rows shown (default 10)"},
    {"--verify", 0, NULL, NULL, "first read all of an .h5 file and compare it with the hash that it carries"},
    OPTION_END,
};

static int run_inspect(struct invocation *in, struct tpo_error *err)
{
  int64_t limit;
  int status = option_int(in, "--limit", 0, 1000000000, 10, &limit, err);
  if (status == 0 && option_value(in, "--verify")) {
    status = tpo_store_verify(in->positional[0], err);
    if (status == 0) tpo_log(TPO_LOG_INFO, "%s: its contents match its hash", in->positional[0]);
  }
  return status < 0 ? status : tpo_inspect(in->positional[0], (int)limit, stdout, err);
}

const struct command cmd_inspect = {
    .name = "inspect",
    .arguments = "FILE",
    .summary = "what is in a run file, checkpoint, GGUF or safetensors file",
    .options = inspect_options,
    .n_positional_min = 1,
    .n_positional_max = 1,
    .run = run_inspect,
};

static const struct option export_options[] = {
    {"--to", 0, "hf|gguf", NULL,
     "format: a Hugging Face model folder, or a GGUF file for llama.cpp (of a model in any form)"},
    {"--type", 0, "T", NULL, "of a GGUF file's matrices: bf16 (default), f32, f16 or q8_0"},
    OPTION_END,
};

static int export_gguf(struct invocation *in, struct tpo_error *err)
{
  static const struct {
    const char *name;
    enum tpo_gguf_matrices matrices;
  } types[] = {{"bf16", TPO_GGUF_MATRICES_BF16},
               {"f32", TPO_GGUF_MATRICES_F32},
               {"f16", TPO_GGUF_MATRICES_F16},
               {"q8_0", TPO_GGUF_MATRICES_Q8_0}};
  const char *type = option_value(in, "--type");
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (!type || strcmp(type, types[i].name) == 0)
      return tpo_model_export_gguf(in->positional[0], in->positional[1], types[i].matrices, err);
  return tpo_fail(err, TPO_E_USAGE, "tpo export: --type is '%s'; expected bf16, f32, f16 or q8_0", type);
}

static int run_export(struct invocation *in, struct tpo_error *err)
{
  const char *to;
  int status = option_require(in, "--to", &to, err);
  if (status < 0) return status;
  if (strcmp(to, "gguf") == 0) return export_gguf(in, err);
  if (strcmp(to, "hf") != 0)
    return tpo_fail(err, TPO_E_USAGE, "tpo export: --to is '%s'; expected hf or gguf", to);
  if (option_value(in, "--type"))
    return tpo_fail(err, TPO_E_USAGE,
                    "tpo export: --type is for --to gguf; a folder keeps the weights' own type");
  return tpo_model_export_hf(in->positional[0], in->positional[1], err);
}

const struct command cmd_export = {
    .name = "export",
    .arguments = "CKPT.h5 DIR|FILE.gguf",
    .summary = "a Hugging Face model folder or a GGUF file from a checkpoint",
    .options = export_options,
    .n_positional_min = 2,
    .n_positional_max = 2,
    .run = run_export,
};

static const struct option report_options[] = {
    {"--out", 'o', "FILE", NULL, "page (default RUN_DIR/report.html)"},
    OPTION_END,
};

static int run_report(struct invocation *in, struct tpo_error *err)
{
  char path[4096];
  const char *out = option_value(in, "--out");
  int status = tpo_path_join(path, sizeof path, in->positional[0], "report.html", err);
  if (status == 0 && out) status = check_output(in, "--out", out, NULL, err);
  if (status == 0) status = tpo_report_write(in->positional[0], out ? out : path, err);
  if (status == 0) tpo_log(TPO_LOG_INFO, "%s", out ? out : path);
  return status;
}

const struct command cmd_report = {
    .name = "report",
    .arguments = "RUN_DIR",
    .summary = "one self-contained HTML page about a run",
    .options = report_options,
    .n_positional_min = 1,
    .n_positional_max = 1,
    .run = run_report,
};

static const struct option config_options[] = {
    {"--reference", 0, NULL, NULL, "print the reference page of all keys (Markdown)"},
    OPTION_MODEL,
    OPTION_DTYPE,
    OPTION_END,
};

static int print_owned(char *text, struct tpo_error *err)
{
  if (!text) return tpo_fail(err, TPO_E_MEMORY, "out of memory");
  fputs(text, stdout);
  free(text);
  return 0;
}

static int run_config(struct invocation *in, struct tpo_error *err)
{
  if (option_value(in, "--reference")) return print_owned(tpo_config_reference(), err);
  int status = check_config(in, TPO_CHECK_ALL, err);
  /* What isn't on this machine may be on the one that runs it. */
  struct tpo_error missing = {0};
  if (status == 0 && tpo_judge_check(&in->config.judge, &missing) < 0)
    tpo_log(TPO_LOG_WARN, "%s", missing.message);
  return status < 0 ? status : print_owned(tpo_config_print(&in->config, true), err);
}

const struct command cmd_config = {
    .name = "config",
    .arguments = "[CONFIG.yaml]",
    .summary = "the effective configuration: every key, its value and where it came from",
    .options = config_options,
    .n_positional_max = 1,
    .config_argument = true,
    .run = run_config,
};
