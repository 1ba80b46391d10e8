"""What a test program's exit status and output say: (exit status, output) to words, or a failure. Standard library only."""
import re

OUT_OF_TIME = 124  # the status of a command that was ended because its time was over


class Failure(Exception):
    pass


def of_cmocka(status, text):
    """Of a cmocka program: how many tests passed, in words. Raises Failure."""
    failed = sorted(set(re.findall(r"^\[  FAILED  \] (\w+)$", text, re.M)))
    passed = len(re.findall(r"^\[       OK \] \w+", text, re.M))
    skipped = len(re.findall(r"^\[  SKIPPED \] \w+$", text, re.M))
    if status not in (0, 77) or failed:
        words = [line for line in text.splitlines() if re.search(r"error|ERROR|FAILED|\.c:\d+|Failure", line)]
        why = "did not end in time" if status == OUT_OF_TIME else f"exit {status}"
        raise Failure(f"{why}; failed: {', '.join(failed) or 'the program as a whole'}\n" + "\n".join(words[:30]))
    return f"{passed} tests" + (f", {skipped} skipped" if skipped else "")


def of_version(text):
    """The line of `tpo --version` that names the backends. Raises Failure where it has no GPU."""
    backends = next((line for line in text.splitlines() if line.startswith("backends")), "")
    if not re.search(r"cuda \(\d+ x ", backends):
        raise Failure(f"there is no GPU in this: {backends}")
    return backends


def of_sanitizer(status, text):
    """(passed, failed or skipped, words) of a program under compute-sanitizer that ended within its time."""
    refused = re.search(r".*(?:Device not supported|not supported on|Failed to initialize).*", text)
    if refused:
        return "skipped", f"compute-sanitizer refuses this device: {refused[0].strip()}"
    summary = re.findall(r"(?:ERROR SUMMARY|RACECHECK SUMMARY): (.*)", text)
    if status in (0, 77) and summary:
        return "passed", summary[-1]
    errors = [line for line in text.splitlines() if line.startswith("=========") or "FAILED" in line]
    return "failed", "\n".join([*summary, f"exit {status}", *errors[:40]])
