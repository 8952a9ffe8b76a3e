import type { Fault } from "./fault.ts";

interface ToolCallScript {
  readonly id: string;
  readonly name: string;
  /** JSON text; streamed in pieces. */
  readonly arguments: string;
}

export interface KeepAlive {
  /** Sent as one line, e.g. `: keep-alive`. */
  readonly text: string;
  readonly everyMs: number;
  /** Whether a blank line follows (DeepSeek does that). */
  readonly blankLine: boolean;
}

/** Silence before the event number `event` (0 = the first); with `comments` it is not quite silent. */
interface Gap {
  readonly event: number;
  readonly ms: number;
  readonly comments?: KeepAlive;
}

export type Framing = "lf" | "crlf" | "cr" | "bom" | "no-space" | "two-data-lines" | "ids" | "event-names" | "retry";

/**
 * Where a stream has its usage. `asked`: like OpenAI, in a chunk of its own if the request has `include_usage`. `finish`: like
 * DeepSeek, in the finish chunk, always, with cache hits and misses. `both`: in the finish chunk, and in a chunk of its own if
 * asked. `every-chunk`: cumulative. `x_groq`: inside that field of the finish chunk.
 */
type UsageStyle = "asked" | "finish" | "both" | "every-chunk" | "x_groq" | "never";

export interface RawPiece {
  readonly bytes: Uint8Array;
  /** Before these bytes; 0 still gives them a packet of their own. */
  readonly afterMs: number;
}

/** An answer given byte for byte; nothing else of the scenario applies. */
export interface RawAnswer {
  readonly status?: number;
  /** Without a content-length here, the body goes out in HTTP chunks. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: Uint8Array | readonly RawPiece[];
  /** `fin` and `rst` leave out the terminating chunk. */
  readonly end: "fin" | "rst" | "clean";
}

/** Token counts to report instead of the simulator's own count. */
interface TokenCounts {
  readonly prompt?: number;
  readonly cached?: number;
  readonly completion?: number;
  readonly reasoning?: number;
}

/** What an answer is like. `null` means: the simulator decides, as described. */
export interface Scenario {
  /** From the request read until the first event (or the plain answer). */
  readonly ttftMs: number;
  /** Events a second; 0 = as fast as the socket takes them. */
  readonly ratePerSecond: number;
  /** When a plain answer comes; null = after `ttftMs`. */
  readonly plainMs: number | null;
  /** Whether the headers of a stream leave at once or with its first byte. */
  readonly earlyHeaders: boolean;
  /** Number of text deltas of made-up words, or a range to draw it from; ignored when `text` is set. */
  readonly events: number | readonly [number, number] | null;
  /** Pads each text delta to this many bytes. */
  readonly eventBytes: number;
  /** The exact answer; null = `events` made-up words, or else the demo sentence. */
  readonly text: string | null;
  /** How text is cut into deltas; a number is code points a piece. */
  readonly chunking: "word" | "character" | "whole" | number;
  /** Number of reasoning deltas before the text. */
  readonly reasoning: number;
  readonly reasoningField: "reasoning_content" | "reasoning";
  readonly toolCalls: readonly ToolCallScript[];
  /** Choices; null = what the request asks for. */
  readonly n: number | null;
  readonly roleChunk: "own" | "withContent" | "everyChunk" | "never";
  readonly usage: UsageStyle;
  /** `usage: null` on the other chunks; null = as the style's provider does it. */
  readonly usageNull: boolean | null;
  readonly tokens: TokenCounts;
  /** `undefined` = it follows from the answer (`stop`, `length`, `tool_calls`); null = never sent. */
  readonly finishReason: string | null | undefined;
  readonly done: boolean;
  readonly framing: Framing;
  readonly keepAlive: KeepAlive | null;
  readonly gapBefore: Gap | null;
  /** Each text delta starts with its monotonic send time; read it with `readStamp`. */
  readonly stampSendTime: boolean;
  readonly oneBytePerWrite: boolean;
  /** Blank lines before a plain answer, as DeepSeek sends them while a request is queued. */
  readonly queueBlankLines: { readonly count: number; readonly everyMs: number } | null;
  /** More response headers. */
  readonly headers: Readonly<Record<string, string>>;
  /** How the simulator words its own refusals (bad key, unknown model). */
  readonly errorStyle: "openai" | "deepseek";
  readonly fault: Fault | null;
  readonly raw: RawAnswer | null;
}

/** A prompt, well-formed OpenAI answer: no waiting, nothing wrong. */
export const DEFAULT_SCENARIO: Scenario = {
  ttftMs: 0,
  ratePerSecond: 0,
  plainMs: null,
  earlyHeaders: true,
  events: null,
  eventBytes: 0,
  text: null,
  chunking: "word",
  reasoning: 0,
  reasoningField: "reasoning_content",
  toolCalls: [],
  n: null,
  roleChunk: "own",
  usage: "asked",
  usageNull: null,
  tokens: {},
  finishReason: undefined,
  done: true,
  framing: "lf",
  keepAlive: null,
  gapBefore: null,
  stampSendTime: false,
  oneBytePerWrite: false,
  queueBlankLines: null,
  headers: {},
  errorStyle: "openai",
  fault: null,
  raw: null,
};

/** The pace of the demo upstream: a person can watch the words arrive. */
export const DEMO_SCENARIO: Partial<Scenario> = { ttftMs: 80, ratePerSecond: 60 };

/** What DeepSeek's streams look like. */
export const DEEPSEEK_SCENARIO: Partial<Scenario> = {
  reasoning: 3,
  usage: "finish",
  errorStyle: "deepseek",
  keepAlive: { text: ": keep-alive", everyMs: 10_000, blankLine: true },
};
