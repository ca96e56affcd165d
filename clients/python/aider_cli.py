"""aider, headless: a repository in a folder of its own, one message, and the edit is in the file and in the history."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import CONFIG, KEY, case, contains, equal, run

LIMIT = 120
# What the model is made to say: an edit in aider's own notation.
EDIT = """say Done.

greeting.txt
```
<<<<<<< SEARCH
hello world
=======
good morning, żółć 😀
>>>>>>> REPLACE
```
"""
QUIET = [
    "--yes-always",
    "--no-check-update",
    "--no-show-release-notes",
    "--no-show-model-warnings",
    "--no-pretty",
    "--no-fancy-input",
    "--no-suggest-shell-commands",
    "--no-detect-urls",
    "--analytics-disable",
    "--no-gitignore",
    "--map-tokens=0",
    "--edit-format=diff",
]


def git(project, *words):
    identity = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@a", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@a"}
    done = subprocess.run(["git", *words], cwd=project, env=clean(project.parent, identity), capture_output=True, text=True, check=True)
    return done.stdout


def clean(home, more):
    """Nothing of our own environment but the path reaches the program."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TEMP", "TMP") if name in os.environ}
    return {**kept, "HOME": str(home), "USERPROFILE": str(home), "LANG": "C.UTF-8", "PYTHONUTF8": "1", "TERM": "dumb", **more}


def edits(model, environment, stream):
    with tempfile.TemporaryDirectory(prefix="myelin-aider-", ignore_cleanup_errors=True) as folder:
        project = Path(folder, "project")
        project.mkdir()
        greeting = project / "greeting.txt"
        greeting.write_text("hello world\n", encoding="utf-8")
        git(project, "init", "--quiet")
        git(project, "config", "user.name", "a")
        git(project, "config", "user.email", "a@a")
        git(project, "add", ".")
        git(project, "commit", "--quiet", "-m", "first")
        # Its table of prices comes with it; it must not ask for a newer one.
        local = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", **environment}
        words = [sys.executable, "-m", "aider", *QUIET, "--stream" if stream else "--no-stream", "--model", model]
        words += ["--weak-model", model, "--message", EDIT, "greeting.txt"]
        done = subprocess.run(words, cwd=project, env=clean(folder, local), stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT)
        said = (done.stdout + done.stderr).decode(errors="replace")
        equal(greeting.read_text(encoding="utf-8"), "good morning, żółć 😀\n", f"ended with {done.returncode}: {said[-900:]}")
        equal(len(git(project, "log", "--format=%s").splitlines()), 2, f"commits: {said[-900:]}")
        # The answer's tokens were told, so aider can count them.
        contains(said, "Tokens:", "usage")


def through_chat(target, stream):
    edits(f"openai/{target.model}", {"OPENAI_API_BASE": CONFIG["openai"], "OPENAI_API_KEY": KEY}, stream)


def through_messages(target, stream):
    # aider's library takes a name that it knows as OpenAI's to OpenAI, whatever stands before it: the gateway's CHANNEL/MODEL form is none of those.
    model = f"openai/{target.model}" if target.model.startswith("gpt-") else target.model
    edits(f"anthropic/{model}", {"ANTHROPIC_API_BASE": CONFIG["anthropic"], "ANTHROPIC_API_KEY": KEY}, stream)


@case("cli", "openai_client")
def edits_a_file_by_chat_stream(target):
    through_chat(target, True)


@case("cli", "openai_client", once=True)
def edits_a_file_by_chat_whole(target):
    through_chat(target, False)


@case("cli", "anthropic_client")
def edits_a_file_by_messages_stream(target):
    through_messages(target, True)


@case("cli", "anthropic_client", once=True)
def edits_a_file_by_messages_whole(target):
    through_messages(target, False)


run("aider", "cli")
