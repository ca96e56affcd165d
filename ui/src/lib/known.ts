/** Words that the gateway knows and that forms offer. Anything else can still be typed. */

export const FORMATS = [
  "openai-chat",
  "openai-responses",
  "openai-completions",
  "anthropic-messages",
  "gemini",
  "ollama-chat",
  "ollama-generate",
  "dify",
];

export const TOOLS = [
  "claude-code",
  "codex",
  "gemini-cli",
  "opencode",
  "aider",
  "cursor",
  "continue",
  "cline",
  "open-webui",
];
