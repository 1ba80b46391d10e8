/* The effective configuration, and the reference page. */
#include <string.h>
#include "config/layouts.h"

/* What is not given of a run in steps follows from them. */
static const char *origin_of(const struct tpo_config *config, int key)
{
  bool follows = tpo_run_in_steps(&config->run) && !config_is_set(config, key) &&
                 (key == config_find_key("run.iterations", strlen("run.iterations")) ||
                  key == config_find_key("data.prompts_per_iteration", strlen("data.prompts_per_iteration")));
  return follows ? "from run.steps" : config_origin(config, key);
}

static void print_key(const struct tpo_config *config, int key, bool with_origins, const char *indent,
                      struct tpo_buf *out)
{
  tpo_buf_printf(out, "%s%s: ", indent, config_key_name(key));
  config_append_value(config, key, out);
  if (with_origins) {
    tpo_buf_puts(out, "  # ");
    for (const char *c = origin_of(config, key); *c; c++) tpo_buf_putc(out, *c == '\n' ? ' ' : *c);
  }
  tpo_buf_putc(out, '\n');
}

char *tpo_config_print(const struct tpo_config *config, bool with_origins)
{
  struct tpo_buf out = {0};
  for (int key = 0; key < config_n_keys; key++)
    if (config_in_section(key, "")) print_key(config, key, with_origins, "", &out);
  for (int section = 0; section < config_n_sections; section++) {
    tpo_buf_printf(&out, "%s:\n", config_sections[section].name);
    for (int key = 0; key < config_n_keys; key++)
      if (config_in_section(key, config_sections[section].name) && !layout_leaves_open(config, key))
        print_key(config, key, with_origins, "  ", &out);
  }
  return tpo_buf_take(&out);
}

/* Text into a cell of a Markdown table. */
static void append_cell(struct tpo_buf *out, const char *text)
{
  for (; *text; text++) {
    if (*text == '|') tpo_buf_putc(out, '\\');
    tpo_buf_putc(out, *text);
  }
}

static void append_row(struct tpo_buf *out, int key)
{
  const struct config_key *info = &config_keys[key];
  tpo_buf_printf(out, "| `%s` | ", config_key_name(key));
  config_describe(key, out);
  tpo_buf_puts(out, " | ");
  if (!info->fallback)
    tpo_buf_puts(out, "not given");
  else if (info->type == KEY_LIST)
    tpo_buf_puts(out, "`[]`");
  else if (info->fallback[0] == '\0')
    tpo_buf_puts(out, "empty");
  else
    tpo_buf_printf(out, "`%s`", info->fallback);
  tpo_buf_puts(out, " | ");
  append_cell(out, info->doc);
  tpo_buf_puts(out, " |\n");
}

static void append_table(struct tpo_buf *out, const char *section)
{
  tpo_buf_puts(out, "| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
  for (int key = 0; key < config_n_keys; key++)
    if (config_in_section(key, section)) append_row(out, key);
}

/* Where the instructions of configs/llama3-8b-*.yaml come from. */
static const char instructions_recipe[] =
    "\n## Instructions for the paper's runs\n\n"
    "`llama3-8b-*.yaml`, and those of other models beside them, read `data/instructions.jsonl` (4 iterations of 5000; "
    "600 steps of 32 for `llama3-8b-semi-online.yaml`) and `data/validation.jsonl` (1500), "
    "which this makes of UltraFeedback's instructions, as the paper's later runs had them. The data set is "
    "[openbmb/UltraFeedback](https://huggingface.co/datasets/openbmb/UltraFeedback): six JSON Lines files, 63,967 rows, "
    "all of them its one split, `train`. Of each row the field `instruction` is taken, nothing else. "
    "The paper draws its validation from the same set at random; which rows it drew isn't known, so the draw here is ours, "
    "and so are the limit of 6000 characters, which leaves room for an output within `train.max_pair_tokens`, "
    "and that an instruction that comes twice is taken once.\n\n"
    "```python\n"
    "# git clone https://huggingface.co/datasets/openbmb/UltraFeedback   (with Git LFS), then here:\n"
    "import json, os, random\n"
    "names = [\"evol_instruct\", \"false_qa\", \"flan\", \"sharegpt\", \"truthful_qa\", \"ultrachat\"]\n"
    "texts = set()\n"
    "for name in names:\n"
    "    with open(f\"UltraFeedback/{name}.jsonl\", encoding=\"utf-8\") as rows:\n"
    "        texts.update(json.loads(row)[\"instruction\"].strip() for row in rows)\n"
    "texts = sorted(text for text in texts if 0 < len(text) <= 6000)\n"
    "random.Random(1).shuffle(texts)\n"
    "os.makedirs(\"data\", exist_ok=True)\n"
    "for path, part in (\"data/validation.jsonl\", texts[:1500]), (\"data/instructions.jsonl\", texts[1500:21500]):\n"
    "    with open(path, \"w\", encoding=\"utf-8\") as out:\n"
    "        out.writelines(json.dumps({\"instruction\": text}) + \"\\n\" for text in part)\n"
    "```\n\n"
    "`truthful_qa` and `false_qa` are those benchmarks' own questions: "
    "leave the two names out where a model is to be tested on them.\n";

char *tpo_config_reference(void)
{
  struct tpo_buf out = {0};
  tpo_buf_puts(
      &out,
      "# Configuration\n\n"
      "<!-- Generated from the table in src/config/keys.c; a test compares them. -->\n\n"
      "A configuration is one YAML file. Every key has a default, so a file holds only what differs; "
      "`quickstart.yaml` is one to start from. `tpo config FILE.yaml` shows every key with its value "
      "and where it came from, and all mistakes of a file at once, each with its line.\n\n"
      "`--set section.key=value` changes one key on the command line. "
      "A value that begins with a quote, a bracket or, where a mapping is expected, a brace is read "
      "as YAML there (`--set 'sampling.stop=[\"###\", \"\\n\\n\"]'`), any other is taken as it stands.\n\n"
      "Text that holds line breaks or marks that YAML uses is written in double quotes (`\"\\nReply:\"`). "
      "`null` takes a text back to \"not given\". Anchors, aliases and tags of YAML are not used.\n\n");
  append_table(&out, "");
  for (int section = 0; section < config_n_sections; section++) {
    tpo_buf_printf(&out, "\n## %s\n\n%s\n\n", config_sections[section].name, config_sections[section].doc);
    if (strcmp(config_sections[section].name, "thought") == 0)
      tpo_buf_puts(&out, "The defaults below are those of a layout that leaves the key out; "
                         "without any `thought` in the file, the layout is `generic`.\n\n");
    append_table(&out, config_sections[section].name);
  }
  tpo_buf_puts(&out, instructions_recipe);
  return tpo_buf_take(&out);
}
