/** What the gateway tells in English, by what it is about: notes and effects of tools, notes of providers. */
export const told: Record<string, string> = {
  "name/codex": "Codex CLI 与应用",
  "name/vscode-copilot": "VS Code Copilot（自带模型）",
  "name/claude-desktop": "Claude Desktop（第三方模式）",
  "name/shell": "终端",
  "name/ci": "CI（持续集成）",
  "effect/claude-code": "下次启动 claude 时",
  "effect/codex": "下次启动 codex 或其应用时",
  "effect/gemini-cli": "下次启动 gemini 时",
  "effect/opencode": "下次启动 opencode 时",
  "effect/aider": "下次启动 aider 时",
  "effect/continue": "立即：文件保存后即被读取",
  "effect/cline": "下次启动时",
  "effect/qwen-code": "下次启动 qwen 时",
  "effect/copilot-cli": "下次用 `myelin run` 启动时",
  "effect/vscode-copilot": "下次管理模型时，或下次启动时",
  "effect/droid": "下次启动 droid 时",
  "effect/claude-desktop": "退出并重新启动 Claude Desktop 之后",
  "effect/zed": "立即；密钥需要粘贴一次",
  "tool/claude-code/competing":
    "连接期间会从其设置中移除 ANTHROPIC_API_KEY 以及 Bedrock 和 Vertex 开关：它们会与令牌冲突。",
  "tool/claude-code/xcode": "Xcode 自带的副本读取另一个文件夹：要连接它，请设置 CLAUDE_CONFIG_DIR 后再启动。",
  "tool/codex/conversations":
    "Codex 把对话与提供商的 id 绑定，该 id 永远是 “myelin”。恢复之后，重新连接即可找回经由 Myelin 的对话。",
  "tool/codex/sign-in": "绝不改动 auth.json。",
  "tool/codex/running": "正在运行的 Codex 继续使用启动时读取的内容。",
  "tool/gemini-cli/google": "用 Google 登录会发往别处：连接期间改用 API 密钥。",
  "tool/gemini-cli/project-env": "项目中的 .env 会完全遮盖用户目录中的那一个。",
  "tool/opencode/models": "它只提供被告知的模型：有新模型时请重新连接。",
  "tool/aider/prefix": "前缀 openai/ 表示所用的格式，而不是由谁应答。",
  "tool/continue/new-file": "新建的文件没有名称和版本：Continue 会自行补充。",
  "tool/cline/running": "Cline 在运行时会写入自己的文件：连接前请先停止它。",
  "tool/cline/vscode":
    "VS Code 中的扩展把密钥保存在编辑器自己的存储中：请在那里选择 OpenAI Compatible，并粘贴地址和密钥。",
  "tool/copilot-cli/variables": "它只读取环境变量：请用 `myelin run copilot-cli` 启动。",
  "tool/vscode-copilot/own-store": "管理模型时，VS Code 可能把密钥移入自己的存储：这会显示为偏移，但没有影响。",
  "tool/vscode-copilot/version": "需要 VS Code 1.122 或更高版本。",
  "tool/droid/choose": "用 /model 选择模型：条目名为 Myelin …",
  "tool/claude-desktop/names": "它只接受形如 Claude 的名称（claude-sonnet-…）：由配置方案决定它们的去向。",
  "tool/claude-desktop/restart": "必须退出并重新启动。",
  "tool/zed/keychain":
    "Zed 把密钥保存在系统钥匙串中：在 LLM providers > Myelin 下粘贴一次，或用 `myelin run zed` 启动 Zed。",
  "tool/cursor/servers":
    "请求由 Cursor 自己的服务器发出，无法到达本机的回环地址。请使用带公网 https 地址的 Myelin 服务器，或使用隧道。",
  "tool/xcode/models": "模型会自动出现：Xcode 会请求 {base}/v1/models。",
  "tool/jetbrains/junie": "Junie 和订阅中的云端模型不经过它。",
  "tool/shell/elsewhere": "供其他机器上的程序使用时，请填写那台机器能够到达本机的地址：`--base`。",
  "tool/ci/runner": "别处的运行器需要一个它能到达的 Myelin 服务器，以及自己的密钥：`myelin key create ci`。",
  "provider/azure":
    "请设置 options.resource，或 base_url = https://NAME.openai.azure.com（或 https://NAME.services.ai.azure.com）。写明日期的 options.api_version 使用带部署名的旧式地址；不写则使用 v1 API。模型即部署的名称；请按模型为部署命名。凭据可以是 API 密钥或 Entra 令牌。",
  "provider/bedrock":
    "凭据为 ACCESS_KEY:SECRET、ACCESS_KEY:SECRET:SESSION 或 Bedrock API 密钥；请设置 options.region。模型可以是 id、推理配置文件（us.…、eu.…、global.…）或 ARN。",
  "provider/bedrock-mantle":
    "部分模型位于 /openai/v1 之下：请为它们设置 base_url = https://bedrock-mantle.REGION.api.aws/openai/v1。",
  "provider/vertex":
    "凭据为服务账号的 JSON（file:PATH）、`gcloud auth application-default login` 生成的文件，或 API 密钥。options.location 默认为 `global`；options.project 取自服务账号。合作方模型写作 publisher/model。",
  "provider/databricks": "请设置 options.workspace，例如 adb-1234.5.azuredatabricks.net。",
  "provider/cloudflare": "请把 options.account 设置为账号 id。",
  "provider/kimi-code": "仅供编程工具使用：提供商会检查调用方的 user agent，它会原样转发。",
  "provider/perplexity":
    "该提供商没有模型列表：请填写模型名称（sonar、sonar-pro、sonar-reasoning-pro、sonar-deep-research）。",
  "provider/jina": "只有嵌入和重排；请填写模型名称。",
  "provider/voyage": "只有嵌入和重排；请填写模型名称。",
  "provider/ollama": "使用 Ollama 云服务时，请设置 base_url = https://ollama.com 和密钥。",
  "provider/dify":
    "一个渠道对应一个应用：密钥决定应用，由应用选择模型和工具。Agent 应用：dialect = { stream-only = true }。",
  "provider/openai-compatible":
    'base_url 要带 /v1。若该主机也提供 Responses：options.formats = ["openai-chat", "openai-responses"]。',
  "provider/anthropic-compatible":
    'base_url 不带 /v1。若该主机要求 Authorization: Bearer，请设置 options.auth = "bearer"。',
  "provider/gemini-compatible": "base_url 不带 /v1beta。",
};
