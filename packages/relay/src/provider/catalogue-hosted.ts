/** Hosted providers. Model names are those our sources name exactly; a short list is better than a wrong one. */
import type { PresetRow } from "./preset.ts";

const DEEPSEEK: PresetRow = {
  name: "deepseek",
  provider: "deepseek",
  env: "DEEPSEEK",
  baseUrl: "https://api.deepseek.com/v1",
  hosts: ["api.deepseek.com"],
  needsKey: true,
  finish: "required",
  // A request may queue for ten minutes before inference begins.
  timeouts: { firstEventMs: 600_000 },
  models: ["deepseek-flash", "deepseek-v4-pro"],
  unlisted: ["deepseek-v4-flash", "deepseek-chat", "deepseek-reasoner"],
  owns: ["deepseek-*"],
  keepAliveComments: true,
  prefill: "prefix",
};

const OPENAI: PresetRow = {
  name: "openai",
  provider: "openai",
  env: "OPENAI",
  baseUrl: "https://api.openai.com/v1",
  hosts: ["api.openai.com"],
  needsKey: true,
  finish: "required",
  models: [
    "gpt-6-astra",
    "gpt-6-sol",
    "gpt-6.1-sol",
    "gpt-6-luna",
    "gpt-5.5",
    "gpt-5.4",
    "gpt-5",
    "gpt-5-mini",
    "gpt-4.1",
    "gpt-4o",
    "gpt-4o-mini",
    "o3",
    "o4-mini",
  ],
  owns: ["gpt-*", "chatgpt-*", "o1*", "o3*", "o4*", "text-embedding-*"],
};

const OPENROUTER: PresetRow = {
  name: "openrouter",
  env: "OPENROUTER",
  baseUrl: "https://openrouter.ai/api/v1",
  hosts: ["openrouter.ai"],
  needsKey: true,
  keepAliveComments: true,
  prefill: "trailing-message",
};

const HOLYSHEEP: PresetRow = {
  name: "holysheep",
  env: "HOLYSHEEP",
  baseUrl: "https://api.holysheep.ai/v1",
  hosts: ["api.holysheep.ai"],
  needsKey: true,
  models: ["deepseek-chat"],
};

const ANTHROPIC: PresetRow = {
  name: "anthropic",
  env: "ANTHROPIC",
  baseUrl: "https://api.anthropic.com/v1",
  hosts: ["api.anthropic.com"],
  needsKey: true,
  finish: "required",
  owns: ["claude-*"],
  keepAliveComments: true,
};

const GEMINI: PresetRow = {
  name: "gemini",
  env: "GEMINI",
  baseUrl: "https://generativelanguage.googleapis.com/v1beta/openai",
  hosts: ["generativelanguage.googleapis.com"],
  needsKey: true,
  finish: "required",
  models: [
    "gemini-3.8-flash",
    "gemini-3.7-flash",
    "gemini-3.6-flash",
    "gemini-3.5-flash",
    "gemini-3.5-flash-lite",
    "gemini-3.1-pro-preview",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "gemini-2.5-flash-lite",
  ],
  owns: ["gemini-*"],
};

const MISTRAL: PresetRow = {
  name: "mistral",
  env: "MISTRAL",
  baseUrl: "https://api.mistral.ai/v1",
  hosts: ["api.mistral.ai"],
  needsKey: true,
  finish: "required",
  models: ["mistral-large-2512", "codestral-2508"],
  owns: ["mistral-*", "ministral-*", "magistral-*", "codestral-*", "devstral-*", "pixtral-*", "open-mistral-*"],
  // It refuses fields it does not know and sends usage unasked.
  usageInStream: false,
  prefill: "prefix-echoed",
};

const XAI: PresetRow = {
  name: "xai",
  env: "XAI",
  baseUrl: "https://api.x.ai/v1",
  hosts: ["api.x.ai"],
  needsKey: true,
  models: ["grok-4.6", "grok-4-1-fast"],
  owns: ["grok-*"],
};

const PERPLEXITY: PresetRow = {
  name: "perplexity",
  env: "PERPLEXITY",
  baseUrl: "https://api.perplexity.ai",
  hosts: ["api.perplexity.ai"],
  needsKey: true,
  owns: ["sonar*"],
  // It sends usage unasked; whether it takes the option is not known.
  usageInStream: false,
};

function hosted(name: string, baseUrl: string, owns: readonly string[] = [], otherHosts: readonly string[] = []): PresetRow {
  const hosts = [new URL(baseUrl).hostname, ...otherHosts];
  return { name, env: name.toUpperCase(), baseUrl, hosts, needsKey: true, owns };
}

export const HOSTED: readonly PresetRow[] = [
  DEEPSEEK,
  OPENAI,
  OPENROUTER,
  HOLYSHEEP,
  hosted("groq", "https://api.groq.com/openai/v1"),
  ANTHROPIC,
  GEMINI,
  hosted("together", "https://api.together.xyz/v1", [], ["api.together.ai"]),
  MISTRAL,
  hosted("moonshot", "https://api.moonshot.ai/v1", ["kimi-*", "moonshot-*"], ["api.moonshot.cn"]),
  hosted("dashscope", "https://dashscope.aliyuncs.com/compatible-mode/v1", ["qwen*", "qwq-*"], ["dashscope-intl.aliyuncs.com"]),
  hosted("zhipu", "https://open.bigmodel.cn/api/paas/v4", ["glm-*"], ["api.z.ai"]),
  hosted("siliconflow", "https://api.siliconflow.cn/v1", [], ["api.siliconflow.com"]),
  hosted("fireworks", "https://api.fireworks.ai/inference/v1"),
  XAI,
  hosted("deepinfra", "https://api.deepinfra.com/v1/openai"),
  hosted("cerebras", "https://api.cerebras.ai/v1"),
  PERPLEXITY,
  hosted("nvidia", "https://integrate.api.nvidia.com/v1"),
];
