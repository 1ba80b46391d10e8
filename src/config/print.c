/* The effective configuration, and the reference page. */
#include <string.h>
#include "config/keys.h"

static void print_key(const struct tpo_config *config, int key, bool with_origins, const char *indent,
                      struct tpo_buf *out)
{
  tpo_buf_printf(out, "%s%s: ", indent, config_key_name(key));
  config_append_value(config, key, out);
  if (with_origins) {
    tpo_buf_puts(out, "  # ");
    for (const char *c = config_origin(config, key); *c; c++) tpo_buf_putc(out, *c == '\n' ? ' ' : *c);
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
      if (config_in_section(key, config_sections[section].name))
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
      "A value that begins with a quote or a bracket is read "
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
  return tpo_buf_take(&out);
}
