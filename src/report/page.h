/* The page's style and script, from page.css and page.js, compiled in by launch/cmake/EmbedText.cmake. */
#ifndef TPO_REPORT_PAGE_H
#define TPO_REPORT_PAGE_H

#include "base/buf.h"

extern const char page_css[];
extern const char page_js[];
extern const char page_js_sha256[]; /* 64 hex digits, of page_js */

/* A page up to where its body begins, and from the end of its <main> on. */
void page_begin(struct tpo_buf *out, const char *title);
void page_end(struct tpo_buf *out, const char *remark);

#endif
