/** What a preset says about a provider before anything is configured. */

/** Names of dialects in `registry.ts`. */
type DialectName = "openai-compatible" | "openai" | "deepseek";

/**
 * How an answer that has begun can be continued.
 * - `prefix`: a flag on the last assistant message; `prefix-echoed`: the same, and the prefix comes back in the output.
 * - `continue-flag`: `continue_final_message`. - `trailing-message`: an assistant message at the end is continued.
 */
export type Prefill = "none" | "prefix" | "prefix-echoed" | "continue-flag" | "trailing-message";

interface PresetTimeouts {
  readonly connectMs?: number;
  readonly firstEventMs?: number;
  readonly payloadIdleMs?: number;
  readonly transportIdleMs?: number;
  readonly totalMs?: number;
}

export interface Preset {
  /** Also the name of the upstream that its variables make. */
  readonly name: string;
  readonly provider: DialectName;
  /** Empty when only the owner can know it. */
  readonly baseUrl: string;
  /** `DEEPSEEK` means the variables `DEEPSEEK_API_KEY` and `DEEPSEEK_BASE_URL`. */
  readonly env: string;
  /** A base URL on one of these hosts is this preset, whatever its upstream is called. */
  readonly hosts: readonly string[];
  readonly needsKey: boolean;
  readonly finish: "required" | "optional";
  readonly timeouts: PresetTimeouts;
  /** Names known to be live; `GET /v1/models` lists them. */
  readonly models: readonly string[];
  /** Names that are still accepted but no longer listed. */
  readonly unlisted: readonly string[];
  /** Exact names, or beginnings followed by `*`, that this preset owns. */
  readonly owns: readonly string[];
  /** Takes `stream_options.include_usage`. */
  readonly usageInStream: boolean;
  /** Sends comments while the request waits. */
  readonly keepAliveComments: boolean;
  readonly prefill: Prefill;
}

/** What a row must say; the rest is as in the generic preset. */
export type PresetRow = Partial<Preset> & Pick<Preset, "name" | "env" | "baseUrl">;
