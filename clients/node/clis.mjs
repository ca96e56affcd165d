// Command-line programs, headless: a plain answer, and a file read through a tool call. Each gets a home of its own and no other network.

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

import { CONFIG, contains, KEY, received, report, run, scenario } from './harness.mjs';

const MODULES = join(import.meta.dirname, 'node_modules');
const SECRET = 'the password is swordfish';
const LIMIT = 60_000;

/** A folder to work in and a home, both gone afterwards. */
async function inFolder(work) {
  const folder = mkdtempSync(join(tmpdir(), 'myelin-client-'));
  const [home, project] = [join(folder, 'home'), join(folder, 'project')];
  mkdirSync(home);
  mkdirSync(project);
  writeFileSync(join(project, 'secret.txt'), `${SECRET}\n`);
  try {
    return await work({ home, project });
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** Runs a program to its end, or stops it after a while. Nothing of our own environment but the path reaches it. */
function execute(program, words, { home, project }, env, input = '') {
  return new Promise((resolve) => {
    const clean = {
      PATH: [dirname(process.execPath), process.env.PATH].join(delimiter),
      HOME: home,
      TERM: 'dumb',
      NO_COLOR: '1',
      LANG: 'C.UTF-8',
      ...env,
    };
    const child = spawn(program, words, { cwd: project, env: clean, stdio: ['pipe', 'pipe', 'pipe'] });
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    let [out, err] = ['', ''];
    child.stdout.on('data', (data) => (out += data));
    child.stderr.on('data', (data) => (err += data));
    const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT);
    child.on('error', (error) => resolve({ code: -1, out, err: String(error) }));
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, out, err });
    });
  });
}

/** Fails with all that helps when a program did not say what it should. */
async function expect(result, text) {
  try {
    contains(result.out, text);
  } catch (error) {
    const seen = (await received()).map((request) => `${request.method} ${request.provider}${request.path} ${request.refused ?? ''}`);
    throw new Error(`${error.message}; ended with ${result.code ?? result.signal}; stderr: ${result.err.slice(-500)}; upstream saw: ${seen.slice(-6).join(' | ')}`);
  }
}

const CLIS = {
  'claude-code': {
    needs: 'anthropic_client',
    file: join(MODULES, '@anthropic-ai', 'claude-code', 'cli-wrapper.cjs'),
    read: (project) => `call Read {"file_path": "${join(project, 'secret.txt')}"}`,
    run(file, target, prompt, places) {
      const words = [file, '-p', prompt, '--model', target.model, '--allowedTools', 'Read', '--output-format', 'text'];
      return execute(process.execPath, words, places, {
        ANTHROPIC_BASE_URL: CONFIG.anthropic,
        ANTHROPIC_AUTH_TOKEN: KEY,
        ANTHROPIC_MODEL: target.model,
        ANTHROPIC_DEFAULT_HAIKU_MODEL: target.model,
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
        DISABLE_TELEMETRY: '1',
        DISABLE_ERROR_REPORTING: '1',
        DISABLE_AUTOUPDATER: '1',
        CLAUDE_CODE_MAX_RETRIES: '1',
        IS_SANDBOX: '1',
      });
    },
  },
  codex: {
    needs: 'openai_client',
    file: join(MODULES, '@openai', 'codex', 'bin', 'codex.js'),
    read: () => 'call exec_command {"cmd": "cat secret.txt"}',
    run(file, target, prompt, places) {
      mkdirSync(join(places.home, '.codex'));
      writeFileSync(
        join(places.home, '.codex', 'config.toml'),
        `model = "${target.model}"
model_provider = "myelin"
check_for_update_on_startup = false
[model_providers.myelin]
name = "Myelin"
base_url = "${CONFIG.openai}"
env_key = "MYELIN_KEY"
wire_api = "responses"
request_max_retries = 1
stream_max_retries = 1
[analytics]
enabled = false
[feedback]
enabled = false
[features]
plugins = false
apps = false
`,
      );
      const words = [file, 'exec', '--skip-git-repo-check', '--dangerously-bypass-approvals-and-sandbox', prompt];
      return execute(process.execPath, words, places, { MYELIN_KEY: KEY });
    },
  },
  'gemini-cli': {
    needs: 'google_client',
    file: join(MODULES, '@google', 'gemini-cli', 'bundle', 'gemini.js'),
    read: (project) => `call read_file {"file_path": "${join(project, 'secret.txt')}"}`,
    run(file, target, prompt, places) {
      mkdirSync(join(places.home, '.gemini'));
      const settings = {
        security: { auth: { selectedType: 'gemini-api-key' } },
        privacy: { usageStatisticsEnabled: false },
        general: { enableAutoUpdate: false, disableAutoUpdate: true },
      };
      writeFileSync(join(places.home, '.gemini', 'settings.json'), JSON.stringify(settings));
      return execute(process.execPath, [file, '-m', target.model, '--skip-trust', '--yolo', '-p', prompt], places, {
        GOOGLE_GEMINI_BASE_URL: CONFIG.google,
        GEMINI_API_KEY: KEY,
        GEMINI_CLI_NO_RELAUNCH: 'true',
      });
    },
  },
  opencode: {
    needs: 'openai_client',
    file: join(MODULES, 'opencode-linux-x64-baseline', 'bin', 'opencode'),
    read: (project) => `call read {"filePath": "${join(project, 'secret.txt')}"}`,
    run(file, target, prompt, places) {
      const provider = {
        npm: '@ai-sdk/openai-compatible',
        options: { baseURL: CONFIG.openai, apiKey: '{env:MYELIN_KEY}' },
        models: { [target.model]: { tool_call: true } },
      };
      writeFileSync(
        join(places.project, 'opencode.json'),
        JSON.stringify({ provider: { myelin: provider }, model: `myelin/${target.model}`, small_model: `myelin/${target.model}`, share: 'disabled', autoupdate: false }),
      );
      // As an argument it would be quoted for the model.
      return execute(file, ['run', '--model', `myelin/${target.model}`], places, {
        MYELIN_KEY: KEY,
        OPENCODE_DISABLE_AUTOUPDATE: '1',
        OPENCODE_DISABLE_MODELS_FETCH: '1',
        OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
        OPENCODE_DISABLE_DEFAULT_PLUGINS: '1',
      }, prompt);
    },
  },
};

for (const [name, cli] of Object.entries(CLIS)) {
  if (!existsSync(cli.file)) {
    report('skip', name, `not to be had for ${process.platform}-${process.arch}`);
    continue;
  }
  const at = (what, needs, work) => scenario(`${name}_${what}`, [cli.needs, ...needs], work);
  const ask = (target, prompt) => inFolder((places) => cli.run(cli.file, target, typeof prompt === 'function' ? prompt(places) : prompt, places));

  at('answers', ['cli', 'text'], async (target) => expect(await ask(target, 'say the magic word is xyzzy'), 'the magic word is xyzzy'));
  at('reads_a_file', ['cli', 'tools'], async (target) => expect(await ask(target, ({ project }) => cli.read(project)), SECRET));
}

await run('cli', 'cli');
