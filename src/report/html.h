/* HTML from text that nobody vouches for, and numbers as a reader wants them. */
#ifndef TPO_REPORT_HTML_H
#define TPO_REPORT_HTML_H

#include "base/buf.h"

/* Text between tags: & < > " ' escaped; malformed bytes as U+FFFD; control characters as their pictures, and
 * what else can't be seen (base/visible.h; joiners within emoji too) as ‹U+200B›, both in
 * <span class="ctl">. */
void html_text(struct tpo_buf *out, const char *text);
void html_text_n(struct tpo_buf *out, const char *text, size_t len);
/* The same for an attribute's value within double quotes: no tags, and line ends as &#10;. */
void html_attribute(struct tpo_buf *out, const char *text);
/* One line of at most `limit` code points, white space folded, "…" where something is left out. */
void html_excerpt(struct tpo_buf *out, const char *text, size_t limit);
/* At most `limit` code points, followed by a remark about how many are left out. */
void html_capped(struct tpo_buf *out, const char *text, size_t limit);

/* Numbers: a dash when not finite, a real minus sign, thousands apart from 10,000 on. */
void html_number(struct tpo_buf *out, double value, int decimals);
/* " ± 0.012"; nothing where there is no such error. */
void html_error(struct tpo_buf *out, double error, int decimals);
void html_signed(struct tpo_buf *out, double value, int decimals); /* with + or − */
void html_percent(struct tpo_buf *out, double share, int decimals);
void html_duration(struct tpo_buf *out, double seconds); /* "9.4 s", "3 min 05 s", "2 h 07 min" */

#endif
