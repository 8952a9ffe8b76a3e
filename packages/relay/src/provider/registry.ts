/** Every dialect by its name. The only way for other folders to get one. */
import { deepseek } from "./deepseek.ts";
import { openaiCompatible } from "./openai-compatible.ts";
import type { Provider } from "./provider.ts";

const PROVIDERS: ReadonlyMap<string, Provider> = new Map(
  [openaiCompatible, { ...openaiCompatible, name: "openai" }, deepseek].map((provider) => [provider.name, provider]),
);

/** The dialect of that name. The configuration admits only names that exist. */
export function providerOf(name: string): Provider {
  const provider = PROVIDERS.get(name);
  if (provider === undefined) throw new Error(`no provider is named ${name}`);
  return provider;
}

/** Names that a configuration may use. */
export function providerNames(): string[] {
  return [...PROVIDERS.keys()];
}
