/** Servers that people run themselves. They need no key; `<NAME>_BASE_URL` alone makes an upstream. */
import type { Prefill, PresetRow } from "./preset.ts";

function local(name: string, port: number, prefill: Prefill, keepAliveComments = false): PresetRow {
  const baseUrl = `http://127.0.0.1:${port}/v1`;
  return { name, env: name.toUpperCase(), baseUrl, needsKey: false, prefill, keepAliveComments };
}

export const LOCAL: readonly PresetRow[] = [
  local("vllm", 8000, "continue-flag"),
  local("ollama", 11_434, "trailing-message"),
  local("llamacpp", 8080, "continue-flag", true),
  local("lmstudio", 1234, "none"),
  local("sglang", 30_000, "continue-flag"),
];
